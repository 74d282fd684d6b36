import { element } from '../dom.js'
import { dateAndTime } from '../format-time.js'

/** @typedef {import('./explain.js').Explanation} Explanation */
/** @typedef {import('./explain.js').ExplainedView} ExplainedView */
/** @typedef {{ state: string, title: string, meaning: string }} Outcome `state` selects the colour */

const PREFIX = '#why='

/**
 * A link to the explanation of a view, in this page.
 * @param {string} id
 * @param {string} [text]
 */
export function createWhyLink(id, text = id) {
  return element('a', { href: PREFIX + encodeURIComponent(id) }, text)
}

/** The view id in the fragment of the URL; undefined if there is none. */
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
    meaning: 'play keeps it on its disk and appends it to the log later, so it is counted exactly once.',
  },
  log: {
    state: 'degraded',
    title: 'In the log, not counted yet',
    meaning: 'It is counted as soon as queue-listener has forwarded it to reporting.',
  },
  'dead-letter': {
    state: 'down',
    title: 'Rejected: dead letter',
    meaning: 'It is not counted. npm run dead-letters can repair and replay it; it is then counted.',
  },
  qualified: { state: 'up', title: 'Qualified', meaning: 'It is in both numbers: views and qualified.' },
  repeat: {
    state: 'degraded',
    title: 'Not qualified: repeat',
    meaning: 'It is in views, but not in qualified: a repeat within 30 s is taken for a double click.',
  },
  pending: {
    state: 'degraded',
    title: 'Pending: not watched for long enough yet',
    meaning: 'It is in views, and in qualified too once the player has reported enough watch time.',
  },
  'watch-time': {
    state: 'degraded',
    title: 'Not qualified: not watched for long enough',
    meaning: 'It is in views, but not in qualified: its player reported too little watch time within 24 hours.',
  },
  'no-watch-report': {
    state: 'degraded',
    title: 'Not qualified: no watch report',
    meaning: 'It is in views, but not in qualified: no player reported within 24 hours that it was watched.',
  },
  unjudged: { state: 'unknown', title: 'Counted without a verdict', meaning: 'It is in views, but not in qualified.' },
}

/**
 * @param {ExplainedView} view
 * @returns {Outcome}
 */
export function toOutcome({ state, verdict, reason }) {
  // The reason of a pending view says why it does not qualify yet.
  const decided = verdict === 'pending' ? verdict : reason
  const key = decided ?? (state === 'counted' ? (verdict ?? 'unjudged') : state)
  const title = state === 'rejected' ? `Rejected: ${key}` : `Not qualified: ${key}`
  const meaning = state === 'rejected' ? 'It is not counted.' : 'It is in views, but not in qualified.'
  return outcomes[key] ?? { state: 'degraded', title, meaning }
}

/** @type {Record<'unauthorized' | 'invalid' | 'unavailable' | 'unreachable', Outcome>} */
const failures = {
  unauthorized: {
    state: 'down',
    title: 'Only for its user',
    meaning: 'This edge explains views only to their user: paste a valid token at the top of the page.',
  },
  invalid: {
    state: 'down',
    title: 'Not a view ID',
    meaning: 'A view ID has 1 to 256 characters. The page cannot look up “.” and “..”.',
  },
  unavailable: {
    state: 'unknown',
    title: 'Unknown right now',
    meaning: 'Reporting or the log is down, so nobody can say what became of this view. A recorded view is not lost.',
  },
  unreachable: { state: 'unknown', title: 'Unknown right now', meaning: 'The edge is unreachable.' },
}

/**
 * What became of a view: the outcome in a few words, then in a sentence.
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
  const headline = element('p', { class: 'outcome' }, icon, ' ', title)
  headline.dataset.state = state
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
  const other = hidesOthers ? ', or it is of another user' : ''
  const meaning = `No view with this ID was recorded, or its verdict is no longer kept${other}.${limit}`
  return { state: 'unknown', title: 'View not found', meaning }
}

/**
 * The facts that are known about a view.
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
  const known = rows.flatMap(([term, value]) =>
    value ? [element('div', {}, element('dt', {}, term), element('dd', {}, value))] : [],
  )
  return known.length > 0 ? [element('dl', { class: 'why-facts' }, ...known)] : []
}
