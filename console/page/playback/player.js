import { describeDenial } from '../catalogue/rights.js'
import { byId, setText } from '../dom.js'
import { formatMs } from '../format-ms.js'
import { createKeys } from './idempotency-key.js'
import { postPlay } from './post-play.js'
import { renderExchange, renderPlayback, renderView } from './response.js'
import { createStage } from './stage.js'
import { isAbsoluteUrl } from './video.js'
import { createWatchReports } from './watch-reports.js'

/** @typedef {import('../catalogue/assets.js').Asset} Asset */
/** @typedef {import('../plays/plays.js').Plays} Plays */
/** @typedef {import('./response.js').PlayResponse} PlayResponse */
/** @typedef {import('../token.js').Token} Token */
/** @typedef {{ asset: Asset, userId: string, key: string, from: number }} Play `from` is the start position in seconds */

/**
 * Sends plays to the edge, and shows the responses and the videos.
 * @param {{
 *   user: { id: () => string | undefined }, token: Token, plays: Plays, onPlayed: (degraded: string[]) => void,
 * }} deps
 */
export function createPlayer({ user, token, plays, onPlayed }) {
  const panel = byId('response', HTMLElement)
  const summary = byId('response-summary', HTMLElement)
  const body = byId('response-body', HTMLElement)
  const placeholder = summary.textContent
  const stage = createStage({ onRetry })
  const keys = createKeys()
  const reports = createWatchReports({ token })
  let latest = 0
  /** @type {Play | undefined} */
  let shown
  /** @type {Element | null} */
  let opener = null

  /** @param {Asset} asset */
  async function press(asset) {
    const userId = user.id()
    if (userId === undefined) return
    opener = document.activeElement
    await play({ asset, userId, key: keys.of(toPath(asset, userId)), from: 0 })
  }

  async function onRetry() {
    if (shown) await play({ ...shown, from: stage.position() })
  }

  /** @param {Play} attempt */
  async function play(attempt) {
    const { asset, userId, key, from } = attempt
    latest += 1
    const sequence = latest
    const path = toPath(asset, userId)
    const headers = token.headers()
    const listed = plays.start({ assetId: asset.id, userId })
    const response = await postPlay(path, { 'idempotency-key': key, ...headers, ...listed.headers })
    listed.finish(response)
    keys.settle(path, key, response.status)
    // If multiple requests are in flight, show only the response to the latest.
    if (sequence !== latest) return
    shown = attempt
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
    if (!playback || !isAbsoluteUrl(playback.url)) return stage.close()
    const { viewId } = response
    await stage.show({
      url: playback.url,
      title: asset.title,
      from,
      onVideo(video, signal) {
        if (viewId !== null) reports.follow(video, { viewId, assetId: asset.id, userId }, signal)
      },
    })
  }

  function close() {
    if (panel.contains(document.activeElement) && opener instanceof HTMLElement) opener.focus()
    latest += 1
    panel.dataset.empty = ''
    setText(summary, placeholder)
    stage.close()
    body.replaceChildren()
  }

  byId('response-close', HTMLButtonElement).addEventListener('click', close)
  document.addEventListener('keydown', ({ key, target, defaultPrevented }) => {
    // Inputs and charts handle Escape themselves.
    if (key !== 'Escape' || defaultPrevented || target instanceof HTMLInputElement) return
    if (panel.dataset.empty === undefined) close()
  })

  return { play: press }
}

/**
 * @param {Asset} asset
 * @param {string} userId
 */
function toPath({ id }, userId) {
  return `/play/asset/${id}/user/${userId}`
}

/**
 * @param {Asset} asset
 * @param {PlayResponse} response
 * @param {Token} token
 */
function toSummary({ title }, { status, ms, body }, token) {
  if (status === 200) return `${title}: 200 OK in ${formatMs(ms)}`
  if (status === 404) return `${title} cannot be played: cdnurl has no URL for it, or metadata no longer has it.`
  const denial = describeDenial(body)
  if (denial !== undefined) return `${title} is not available: ${denial}. This play is not counted as a view.`
  if (status === 401 || status === 403) return `${title} was not played: ${token.describeRejection(body)}`
  if (status === 503)
    return `${title} cannot be played right now: a required service is down, or the edge is overloaded. Try again in a moment.`
  if (status === 0) return `${title} was not played: the edge is unreachable. Try again in a moment.`
  return `${title} was not played: the edge returned ${status}.`
}
