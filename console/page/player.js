import { details, evidence, playbackOf } from './answer.js'
import { byId, setText } from './dom.js'

/** @typedef {import('./assets.js').Asset} Asset */
/** @typedef {import('./answer.js').Answer} Answer */

/**
 * Plays assets at the edge and shows what it answers.
 * @param {{ user: { id: () => string | undefined }, onPlayed: (degraded: string[]) => void }} deps
 */
export function createPlayer({ user, onPlayed }) {
  const panel = byId('answer', HTMLElement)
  const summary = byId('answer-summary', HTMLElement)
  const body = byId('answer-body', HTMLElement)
  let last = 0

  /** @param {Asset} asset */
  async function play(asset) {
    const userId = user.id()
    if (userId === undefined) return
    last += 1
    const mine = last
    const path = `/play/asset/${asset.id}/user/${userId}`
    const answer = await post(path)
    // Of several that are under way the last one pressed is shown.
    if (mine !== last) return
    delete panel.dataset.empty
    panel.dataset.ok = String(answer.status === 200)
    setText(summary, sentenceOn(asset, answer))
    body.replaceChildren(...details(answer, userId), ...evidence(answer, path))
    onPlayed(answer.status === 200 ? (playbackOf(answer).degraded ?? []) : [])
  }

  byId('answer-close', HTMLButtonElement).addEventListener('click', () => {
    panel.dataset.empty = ''
    setText(summary, 'Press play on anything: the edge’s answer shows here.')
    body.replaceChildren()
  })

  return { play }
}

/**
 * @param {string} path
 * @returns {Promise<Answer>}
 */
async function post(path) {
  const since = performance.now()
  try {
    const response = await fetch(path, { method: 'POST' })
    const body = await response.json()
    return { status: response.status, body, ms: performance.now() - since }
  } catch {
    return { status: 0, body: undefined, ms: performance.now() - since }
  }
}

/**
 * @param {Asset} asset
 * @param {Answer} answer
 */
function sentenceOn({ title }, { status, ms }) {
  if (status === 200) return `${title}: answered in ${formatMs(ms)}`
  if (status === 404) return `${title} cannot be played: cdnurl has no address for it, or metadata has it no longer.`
  if (status === 503)
    return `${title} cannot be played now: what it needs was never read, or too much is going on. Try again in a moment.`
  if (status === 0) return `${title} was not played: the edge does not answer. Try again in a moment.`
  return `${title} was not played: the edge refused with ${status}.`
}

/** @param {number} ms */
function formatMs(ms) {
  return `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`
}
