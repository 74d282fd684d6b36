import { byId, element, formatCount, setText } from '../dom.js'

/** @typedef {import('../../../shared/contracts/audit.ts').Audit} Audit */
/** @typedef {import('../../../shared/contracts/system-status.ts').SystemStatus} SystemStatus */
/** @typedef {[count: number | null, label: string, title: string]} Term */

/** The strip that accounts for every view. */
export function createAuditStrip() {
  const strip = byId('audit', HTMLElement)
  const verdict = byId('audit-verdict', HTMLElement)
  const sum = createTerms(byId('audit-sum', HTMLElement))
  const others = createTerms(byId('audit-others', HTMLElement))

  /** @param {SystemStatus | undefined} status undefined while the edge is unreachable */
  return function show(status) {
    const audit = status?.audit
    const terms = audit ? toTerms(audit) : []
    const rest = terms.slice(1).reduce((total, [count]) => total - Number(count), audit?.views ?? 0)
    const addsUp = rest === 0 && (audit?.pending ?? 0) >= 0
    strip.dataset.state = audit ? (addsUp ? 'up' : 'down') : 'unknown'
    setText(verdict, toVerdict(audit, addsUp))
    sum(terms)
    others(audit ? toOthers(audit, status?.parts.outbox?.waiting) : [])
  }
}

/**
 * @param {Audit | null | undefined} audit
 * @param {boolean} addsUp
 */
function toVerdict(audit, addsUp) {
  if (!audit) return 'Unknown while reporting is down or behind the log.'
  return addsUp ? 'Yes: every view is accounted for.' : 'No! Run npm run audit to find the difference.'
}

/**
 * The number of views, followed by the terms that add up to it.
 * @param {Audit} audit
 * @returns {Term[]}
 */
function toTerms({ views, qualified, notQualified, direct, pending }) {
  /** @type {Term[]} */
  const reasons = Object.entries({ repeat: 0, ...notQualified }).map(([reason, count]) => [
    count,
    reason,
    `Not qualified, because of the rule ${reason}`,
  ])
  return [
    [views, 'views', 'Plays, each counted exactly once'],
    [qualified, 'qualified', 'Views that pass the view rules'],
    ...reasons,
    [
      direct,
      'direct',
      'Views counted by direct requests to reporting. They are not in the log, so the view rules do not apply to them',
    ],
    [pending, 'pending', 'Not watched for long enough yet, or counted by a release without view rules'],
  ]
}

/**
 * @param {Audit} audit
 * @param {number | undefined} inOutbox
 * @returns {Term[]}
 */
function toOthers({ waiting, retried, rejected }, inOutbox) {
  /** @type {Term[]} */
  const outbox =
    inOutbox === undefined
      ? []
      : [[inOutbox, 'in the outbox', 'Views that play keeps on disk while the log is unavailable']]
  return [
    [waiting, 'waiting in the log', 'Messages in the log that are not counted yet'],
    ...outbox,
    [retried, 'retried', "Requests that repeat a view's Idempotency-Key. They are not views"],
    [rejected, 'rejected', 'Events in dead letters, and events that reuse an Idempotency-Key. They are not views'],
  ]
}

/**
 * Renders terms into a definition list. Only numbers that changed are replaced.
 * @param {HTMLElement} list
 */
function createTerms(list) {
  let labels = ''
  /** @param {Term[]} terms */
  return (terms) => {
    if (JSON.stringify(terms.map(([, label]) => label)) !== labels) {
      labels = JSON.stringify(terms.map(([, label]) => label))
      list.replaceChildren(...terms.map(([, label, title]) => createTerm(label, title)))
    }
    for (const [n, [count]] of terms.entries()) {
      const number = list.children[n]?.querySelector('dd')
      if (number) setText(number, formatCount(count))
    }
  }
}

/**
 * @param {string} label
 * @param {string} title
 */
function createTerm(label, title) {
  return element('div', { title }, element('dt', {}, label), element('dd'))
}
