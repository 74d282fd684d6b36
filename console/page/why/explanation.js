import { createEntry, element } from '../dom.js'
import { dateAndTime } from '../format-time.js'

/** @typedef {import('./explain.js').Explanation} Explanation */
/** @typedef {import('./explain.js').ExplainedView} ExplainedView */
/** @typedef {{ state: string, title: string, meaning: string }} Outcome `state` selects the colour */

const PREFIX = '#why='

/**
 * A link to a view's explanation, on this page.
 * @param {string} id
 * @param {string} [text]
 */
export function createWhyLink(id, text = id) {
  return element('a', { href: PREFIX + encodeURIComponent(id) }, text)
}

/** The view id in the URL fragment; undefined if there is none. */
export function viewIdInAddress() {
  try {
    return location.hash.startsWith(PREFIX) ? decodeURIComponent(location.hash.slice(PREFIX.length)) : undefined
  } catch {
    return undefined
  }
}

/** @type {Record<string, Outcome>} */
const outcomes = {
  outbox: {
    state: 'degraded',
    title: 'In the outbox',
    meaning: 'play keeps the view on disk until it can append it to the log. The view is then counted exactly once.',
  },
  log: {
    state: 'degraded',
    title: 'In the log, not counted yet',
    meaning: 'The view will be counted as soon as queue-listener has forwarded it to reporting.',
  },
  'dead-letter': {
    state: 'down',
    title: 'Rejected: dead letter',
    meaning: 'The view is not counted, unless you repair and replay it with npm run dead-letters.',
  },
  qualified: { state: 'up', title: 'Qualified', meaning: 'It counts toward both views and qualified.' },
  repeat: {
    state: 'degraded',
    title: 'Not qualified: repeat',
    meaning: 'It counts toward views, but not toward qualified: a repeat within 30 s is treated as a double click.',
  },
  pending: {
    state: 'degraded',
    title: 'Pending: not watched for long enough yet',
    meaning: 'It counts toward views, and toward qualified once the player has reported enough watch time.',
  },
  'watch-time': {
    state: 'degraded',
    title: 'Not qualified: not watched for long enough',
    meaning:
      'It counts toward views, but not toward qualified: its player reported too little watch time within 24 hours.',
  },
  'no-watch-report': {
    state: 'degraded',
    title: 'Not qualified: no watch report',
    meaning: 'It counts toward views, but not toward qualified: no player reported watch time within 24 hours.',
  },
  unjudged: {
    state: 'unknown',
    title: 'Counted without a verdict',
    meaning: 'It counts toward views, but not toward qualified.',
  },
}

/**
 * @param {ExplainedView} view
 * @returns {Outcome}
 */
export function toOutcome({ state, verdict, reason }) {
  // While a verdict is pending, the reason says only why the view does not qualify yet, so show the verdict instead.
  const decided = verdict === 'pending' ? verdict : reason
  const key = decided ?? (state === 'counted' ? (verdict ?? 'unjudged') : state)
  const title = state === 'rejected' ? `Rejected: ${key}` : `Not qualified: ${key}`
  const meaning = state === 'rejected' ? 'It is not counted.' : 'It counts toward views, but not toward qualified.'
  return outcomes[key] ?? { state: 'degraded', title, meaning }
}

/** @type {Record<'unauthorized' | 'invalid' | 'unavailable' | 'unreachable', Outcome>} */
const failures = {
  unauthorized: {
    state: 'down',
    title: 'Visible only to its user',
    meaning: 'This edge explains a view only to its user: paste a valid token at the top of the page.',
  },
  invalid: {
    state: 'down',
    title: 'Not a view ID',
    meaning: 'A view ID has 1 to 256 characters. The page cannot look up “.” or “..”.',
  },
  unavailable: {
    state: 'unknown',
    title: 'Unknown right now',
    meaning:
      'Reporting or the log is down, so the outcome of this view is unknown for now. A recorded view is not lost.',
  },
  unreachable: { state: 'unknown', title: 'Unknown right now', meaning: 'The edge is unreachable.' },
}

/**
 * Renders a view's outcome, first in a few words, then in a sentence.
 * @param {Explanation} explanation
 */
export function renderOutcome(explanation) {
  if (explanation.kind !== 'explained') return renderHeadline(toFailure(explanation))
  const { view } = explanation
  const [before = '', ...after] = view.because ? view.summary.split(view.because.id) : [view.summary]
  const link = view.because && after.length > 0 ? createWhyLink(view.because.id) : undefined
  return renderHeadline(toOutcome(view), element('p', { class: 'why-summary' }, before, link, after.join('')))
}

/**
 * @param {Outcome} outcome
 * @param {HTMLElement} [summary]
 */
function renderHeadline({ state, title, meaning }, summary) {
  const icon = element('span', { class: 'state-icon', ariaHidden: 'true' })
  const headline = element('p', { class: 'outcome', dataset: { state } }, icon, ' ', title)
  return [headline, ...(summary ? [summary] : []), element('p', { class: 'hint' }, meaning)]
}

/**
 * @param {Exclude<Explanation, { kind: 'explained' }>} explanation
 * @returns {Outcome}
 */
function toFailure(explanation) {
  if (explanation.kind !== 'not-found') return failures[explanation.kind]
  const { knownSince, hidesOthers } = explanation
  const limit = knownSince
    ? ` Verdicts are kept for views since ${dateAndTime.format(Date.parse(knownSince))}.`
    : ' No verdicts are kept yet.'
  const other = hidesOthers ? ', or it belongs to another user' : ''
  const meaning = `No view with this ID was recorded, or its verdict is no longer kept${other}.${limit}`
  return { state: 'unknown', title: 'View not found', meaning }
}

/**
 * The known facts about a view.
 * @param {Explanation} explanation
 * @param {(id: string) => string | undefined} titleOf
 */
export function renderFacts(explanation, titleOf) {
  if (explanation.kind !== 'explained') return []
  const { assetId, userId, at, position, rule, because, secondsWatched } = explanation.view
  /** @type {[string, Node | string | false | null][]} */
  const rows = [
    ['asset', assetId && (titleOf(assetId) ?? assetId)],
    ['user', userId],
    ['played', at && dateAndTime.format(Date.parse(at))],
    ['watched', secondsWatched != null && `${secondsWatched} s`],
    ['log sequence', position && String(position.sequence)],
    ['view rules', rule],
    ['decided by', because && createWhyLink(because.id, `the play at ${dateAndTime.format(Date.parse(because.at))}`)],
  ]
  const facts = rows.flatMap(([term, value]) => (value ? [createEntry(term, value)] : []))
  return facts.length > 0 ? [element('dl', { class: 'why-facts' }, ...facts)] : []
}
