import { element, formatCount, setText } from './dom.js'
import { createVideo } from './video.js'

/** @typedef {import('../../shared/contracts/playback.ts').Playback} Playback */
/** @typedef {{ status: number, body: unknown, ms: number }} Answer what came of a play; status 0 where nothing came */

/** What an answer lacks, by the name that `degraded` has for it. */
const lacks = {
  metadata: 'metadata is away: title, genre and summary are as play last read them.',
  cdnurl: 'cdnurl is away: the address is as play last read it.',
  reporting: 'reporting is away: there are no counts. The view is recorded, and counts once it is back.',
  events: 'The event log is away: the view waits on play’s disk, and counts once the log is back.',
}

/**
 * What a play gives a player.
 * @param {Answer} answer
 * @param {string} userId
 */
export function details(answer, userId) {
  if (answer.status !== 200) return []
  const { url, userviews, assetviews, degraded = [] } = playbackOf(answer)
  const row = (/** @type {string} */ term, /** @type {string} */ text) =>
    element('div', {}, element('dt', {}, term), element('dd', {}, text))
  return [
    ...degraded.map((name) => element('p', { class: 'degraded' }, lacks[name])),
    element(
      'dl',
      { class: 'facts' },
      row('views of this asset', formatCount(assetviews)),
      row(`views by ${userId}`, formatCount(userviews)),
    ),
    createVideo(url) ?? element('p', { class: 'address' }, 'Plays from ', element('code', {}, url)),
  ]
}

/**
 * The answer as it came, and how to get it without this page.
 * @param {Answer} answer
 * @param {string} path
 */
export function evidence({ status, body }, path) {
  const curl = `curl -X POST ${shellQuote(`${location.origin}${path}`)}`
  return [
    ...(status === 0
      ? []
      : [element('h3', {}, `Answer ${status}`), element('pre', { class: 'json' }, JSON.stringify(body, undefined, 2))]),
    element('div', { class: 'heading' }, element('h3', {}, 'The same with curl'), createCopyButton(curl)),
    element('pre', { class: 'curl' }, curl),
  ]
}

/** @param {string} text */
function createCopyButton(text) {
  const button = element('button', { type: 'button', class: 'quiet', onclick: copy }, 'Copy')
  async function copy() {
    const copied = await navigator.clipboard?.writeText(text).then(
      () => true,
      () => false,
    )
    if (!copied) select(button.parentElement?.nextElementSibling)
    setText(button, copied ? 'Copied' : 'Selected')
    setTimeout(() => setText(button, 'Copy'), 1_500)
  }
  return button
}

/**
 * Where a page may not write to the clipboard, one key is left to press.
 * @param {Element | null | undefined} target
 */
function select(target) {
  if (target) getSelection()?.selectAllChildren(target)
}

/** @param {string} text */
function shellQuote(text) {
  return `'${text.replaceAll("'", `'\\''`)}'`
}

/** @param {Answer} answer */
export function playbackOf({ body }) {
  return /** @type {Playback} */ (body)
}
