import { createCopyButton } from '../copy-button.js'
import { createEntry, element, formatCount } from '../dom.js'
import { createWhyLink } from '../why/explanation.js'
import { isAbsoluteUrl } from './video.js'

/** @typedef {import('../../../shared/contracts/playback.ts').Playback} Playback */

/**
 * The response to a play request. `status` is 0 when the edge is unreachable; `playback` is defined only for a 200.
 * @typedef {{ status: number, viewId: string | null, requestId: string | null, body: unknown, playback: Playback | undefined, ms: number }} PlayResponse
 */

const degradedTexts = {
  metadata: 'metadata is unavailable: title, genre and summary come from play’s cache and may be stale.',
  cdnurl: 'cdnurl is unavailable: the URL comes from play’s cache and may be stale.',
  reporting: 'reporting is unavailable: there are no counts. The view is recorded and will be counted later.',
  events: 'The event log is unavailable: the view is in the outbox and will be counted once the log is back.',
}

/**
 * Renders the counts, and the URL if it is relative, because the page cannot play a relative URL.
 * @param {Playback} playback
 * @param {string} userId
 */
export function renderPlayback({ url, userviews, assetviews, degraded = [] }, userId) {
  return [
    ...degraded.map((name) => element('p', { class: 'degraded' }, degradedTexts[name])),
    element(
      'dl',
      { class: 'facts' },
      createEntry('views of this asset', formatCount(assetviews)),
      createEntry(`views by ${userId}`, formatCount(userviews)),
    ),
    ...(isAbsoluteUrl(url) ? [] : renderRelative(url)),
  ]
}

/**
 * A link to the view's explanation.
 * @param {PlayResponse} response
 */
export function renderView({ viewId }) {
  if (viewId === null) return []
  return [element('p', { class: 'view' }, createWhyLink(viewId, 'Why is this view counted, or not?'))]
}

/**
 * Renders the response body as received, and the request as a curl command. The command has no idempotency key, so
 * running it records another view.
 * @param {PlayResponse} response
 * @param {string} path
 * @param {boolean} hasToken if true, the command takes the token from the environment, so that the token is not shown
 */
export function renderExchange({ status, body }, path, hasToken) {
  const header = hasToken ? ' -H "authorization: Bearer $TOKEN"' : ''
  const curl = `curl -X POST${header} ${quoteForShell(`${location.origin}${path}`)}`
  return [
    ...(status === 0
      ? []
      : [element('h3', {}, `Response ${status}`), element('pre', {}, JSON.stringify(body, undefined, 2))]),
    element(
      'div',
      { class: 'heading' },
      element('h3', {}, 'curl command'),
      createCopyButton(curl, (button) => button.parentElement?.nextElementSibling),
    ),
    element('pre', {}, curl),
  ]
}

/** @param {string} text */
function quoteForShell(text) {
  return `'${text.replaceAll("'", `'\\''`)}'`
}

/** @param {string} url */
function renderRelative(url) {
  return [
    element('p', { class: 'url' }, 'URL: ', element('code', {}, url)),
    element('p', { class: 'url' }, 'There is no video at this URL: it is relative, and no CDN is configured for it.'),
  ]
}
