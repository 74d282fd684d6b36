import { element, setText } from '../dom.js'
import { formatMs } from '../format-ms.js'
import { timeOfDay } from '../format-time.js'
import { toOutcome } from '../why/explanation.js'

/** @typedef {import('./fates.js').Fate} Fate */
/** @typedef {import('./plays.js').Play} Play */
/** @typedef {{ root: HTMLLIElement, update: () => void }} PlayRow */

/** @type {Record<string, string>} */
const unexplained = {
  'not-found': 'its verdict is unknown',
  unauthorized: 'only its user can see what became of it',
  unavailable: 'its outcome is unknown right now',
  unreachable: 'its outcome is unknown right now',
}

/**
 * Describes what became of a play, in a few words. `state` selects the colour.
 * @param {Play} play
 * @param {Readonly<Fate>} fate
 */
export function describeFate({ status, viewId }, { explanation, waterfall }) {
  if (status === undefined) return { state: 'unknown', text: 'Playing…' }
  if (status === 0) return { state: 'unknown', text: 'No response' }
  if (status !== 200 || viewId === null) return { state: 'down', text: `Not a view: status ${status}` }
  if (!explanation) return { state: 'unknown', text: 'Recorded…' }
  if (explanation.kind !== 'explained') {
    return { state: 'unknown', text: `Recorded; ${unexplained[explanation.kind] ?? explanation.kind}` }
  }
  const { view } = explanation
  const { state, title } = toOutcome(view)
  if (view.state !== 'counted') return { state, text: title }
  const after = waterfall?.countedMs === undefined ? '' : ` after ${formatMs(waterfall.countedMs)}`
  return { state, text: `Counted${after}: ${describeVerdict(view)}` }
}

/** @param {import('../why/explain.js').ExplainedView} view */
function describeVerdict({ verdict, reason }) {
  if (verdict === null) return 'without a verdict'
  if (verdict === 'qualified') return verdict
  return `${reason}, not qualified${verdict === 'pending' ? ' yet' : ''}`
}

/**
 * A row in the list: a button that opens the play.
 * @param {Play} play
 * @param {{ titleOf: (id: string) => string | undefined, fateOf: () => Readonly<Fate>, onOpen: () => void }} deps
 * @returns {PlayRow}
 */
export function createPlayRow(play, { titleOf, fateOf, onOpen }) {
  const title = element('b', {})
  const fateText = element('span', { class: 'fate' })
  const duration = element('span', { class: 'duration' })
  const button = element(
    'button',
    { type: 'button', class: 'play-line', onclick: onOpen },
    element('span', { class: 'state-icon', ariaHidden: 'true' }),
    title,
    element('span', { class: 'by' }, `${play.userId}, ${timeOfDay.format(Date.parse(play.at))}`),
    duration,
    fateText,
  )
  const root = element('li', {}, button)

  function update() {
    const fate = fateOf()
    const { state, text } = describeFate(play, fate)
    root.dataset.state = state
    setText(title, titleOf(play.assetId) ?? play.assetId)
    // Prefer the duration measured at the edge, which can be compared with the time until the view is counted.
    const ms = fate.waterfall?.responseMs ?? play.durationMs
    setText(duration, play.status === undefined ? '' : formatMs(ms))
    setText(fateText, text)
  }

  update()
  return { root, update }
}
