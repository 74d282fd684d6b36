import { byId, setText } from './dom.js'
import { createKey } from './idempotency-key.js'
import { renderExchange, renderPlayback, renderView } from './response.js'

/** @typedef {import('./assets.js').Asset} Asset */
/** @typedef {import('./response.js').PlayResponse} PlayResponse */
/** @typedef {import('./token.js').Token} Token */

/**
 * Plays assets at the edge and shows the responses.
 * @param {{ user: { id: () => string | undefined }, token: Token, onPlayed: (degraded: string[]) => void }} deps
 */
export function createPlayer({ user, token, onPlayed }) {
  const panel = byId('response', HTMLElement)
  const summary = byId('response-summary', HTMLElement)
  const body = byId('response-body', HTMLElement)
  const placeholder = summary.textContent
  let latest = 0

  /** @param {Asset} asset */
  async function play(asset) {
    const userId = user.id()
    if (userId === undefined) return
    latest += 1
    const sequence = latest
    const path = `/play/asset/${asset.id}/user/${userId}`
    const headers = token.headers()
    const response = await post(path, headers)
    // With multiple requests in flight, show only the latest one.
    if (sequence !== latest) return
    const { playback } = response
    delete panel.dataset.empty
    panel.dataset.ok = String(Boolean(playback))
    setText(summary, toSummary(asset, response, token))
    body.replaceChildren(
      ...(playback ? renderPlayback(playback, userId) : []),
      ...renderView(response),
      ...renderExchange(response, path, 'authorization' in headers),
    )
    onPlayed(playback?.degraded ?? [])
  }

  byId('response-close', HTMLButtonElement).addEventListener('click', () => {
    panel.dataset.empty = ''
    setText(summary, placeholder)
    body.replaceChildren()
  })

  return { play }
}

/**
 * @param {string} path
 * @param {Record<string, string>} headers
 * @returns {Promise<PlayResponse>}
 */
async function post(path, headers) {
  const startedAt = performance.now()
  try {
    const response = await fetch(path, { method: 'POST', headers: { 'idempotency-key': createKey(), ...headers } })
    const body = await response.json()
    const playback = response.status === 200 ? body : undefined
    const viewId = response.headers.get('view-id')
    return { status: response.status, viewId, body, playback, ms: performance.now() - startedAt }
  } catch {
    return { status: 0, viewId: null, body: undefined, playback: undefined, ms: performance.now() - startedAt }
  }
}

/**
 * @param {Asset} asset
 * @param {PlayResponse} response
 * @param {Token} token
 */
function toSummary({ title }, { status, ms, body }, token) {
  if (status === 200) return `${title}: 200 OK in ${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`
  if (status === 404) return `${title} cannot be played: cdnurl has no URL for it, or metadata no longer has it.`
  if (status === 401 || status === 403) return `${title} was not played: ${token.describeRejection(body)}`
  if (status === 503)
    return `${title} cannot be played right now: a required service is down, or the edge is overloaded. Try again in a moment.`
  if (status === 0) return `${title} was not played: the edge is unreachable. Try again in a moment.`
  return `${title} was not played: the edge returned ${status}.`
}
