import { byId, setText } from './dom.js'
import { createLines } from './lines.js'
import { showOverall } from './overall.js'

/** @typedef {import('../../shared/contracts/system-status.ts').SystemStatus} SystemStatus */
/** @typedef {import('../../shared/contracts/system-status.ts').PartStatus} PartStatus */

const EVERY_MS = 1_000
/** A status takes a third of a second where a part hangs. */
const LIMIT_MS = 900
/** How long the picture shows what the last play had to do without. */
const DEGRADED_MS = 5_000

/**
 * The flow of a play as a picture, with the state of each part in it.
 * @param {{ onAnswer: (response: Response) => void, onChanges: () => void }} deps
 *   `onChanges` is called when assets have changed, or may have
 */
export function createFlow({ onAnswer, onChanges }) {
  const picture = byId('picture', HTMLElement)
  /** @type {Map<string, HTMLElement>} */
  const parts = new Map([...picture.querySelectorAll('li')].map((part) => [part.dataset.part ?? '', part]))
  const lines = createLines(picture, parts)
  const degraded = createDegraded(parts)
  /** @type {number | undefined} */
  let changes

  /** @param {SystemStatus | undefined} status undefined where the edge does not answer */
  function show(status) {
    const before = downOf(parts)
    for (const [name, part] of parts) {
      if (name !== 'viewer') showPart(part, status ? status.parts[name] : withoutEdge(name))
    }
    const down = downOf(parts)
    const gone = down.filter((name) => !before.includes(name))
    const back = before.filter((name) => !down.includes(name))
    announce(gone, back)
    degraded.now(status?.degraded ?? [])
    showOverall(status)
    lines.draw()
    // One that was away may have other assets now, and where its circuit is open this call finds out that it is back.
    if (back.length > 0 || (status && changes !== undefined && changes !== status.changes)) onChanges()
    changes = status?.changes ?? changes
  }

  return {
    /** Asks for the status each second until what it returns is called. */
    follow() {
      let timer = 0
      let isOver = false
      async function ask() {
        const since = performance.now()
        const status = await readStatus(onAnswer)
        if (isOver) return
        show(status)
        timer = setTimeout(ask, Math.max(0, since + EVERY_MS - performance.now()))
      }
      void ask()
      return () => {
        isOver = true
        clearTimeout(timer)
      }
    },
    playedWithout: degraded.lately,
    /** @param {boolean} isMoving whether anybody plays */
    move(isMoving) {
      picture.toggleAttribute('data-moving', isMoving)
    },
  }
}

/**
 * @param {(response: Response) => void} onAnswer
 * @returns {Promise<SystemStatus | undefined>}
 */
async function readStatus(onAnswer) {
  try {
    const response = await fetch('/status', { signal: AbortSignal.timeout(LIMIT_MS) })
    onAnswer(response)
    return response.ok ? await response.json() : undefined
  } catch {
    return undefined
  }
}

/**
 * What is known of a part where the edge, that tells of them, does not answer.
 * @param {string} name
 * @returns {PartStatus}
 */
function withoutEdge(name) {
  return { state: name === 'play' ? 'down' : 'unknown' }
}

/**
 * @param {HTMLElement} part
 * @param {PartStatus | undefined} status undefined where there is no such part, as in embedded mode
 */
function showPart(part, status) {
  part.hidden = !status
  if (!status) return
  part.dataset.state = status.state
  part.toggleAttribute('data-busy', Boolean(status.waiting))
  setText(part.querySelector('.state') ?? part, stateText(status))
}

/** @param {Map<string, HTMLElement>} parts */
function downOf(parts) {
  return [...parts].flatMap(([name, { dataset }]) => (dataset.state === 'down' ? [name] : []))
}

/**
 * Tells who does not see the picture.
 * @param {string[]} gone
 * @param {string[]} back
 */
function announce(gone, back) {
  const news = [...gone.map((name) => `${name} is down`), ...back.map((name) => `${name} is back`)]
  if (news.length > 0) setText(byId('changes', HTMLElement), news.join(', '))
}

/** @param {PartStatus} status */
function stateText({ state, circuit, waiting }) {
  if (state === 'up' && waiting) return `${waiting} waiting`
  if (state === 'up' && circuit && circuit !== 'closed') return `up, circuit ${circuit}`
  return state
}

/**
 * Marks the parts that plays must do without, and those that the last play had to do without.
 * @param {Map<string, HTMLElement>} parts
 */
function createDegraded(parts) {
  /** @type {string[]} */
  let present = []
  /** @type {string[]} */
  let past = []
  let timer = 0

  function show() {
    for (const [name, part] of parts) {
      part.toggleAttribute('data-degraded', present.includes(name) || past.includes(name))
    }
  }

  return {
    /** @param {string[]} names */
    now(names) {
      present = names
      show()
    },
    /** @param {string[]} names */
    lately(names) {
      clearTimeout(timer)
      past = names
      show()
      timer = setTimeout(() => {
        past = []
        show()
      }, DEGRADED_MS)
    },
  }
}
