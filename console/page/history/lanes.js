import { formatRoughMs } from '../dom.js'

/** @typedef {import('../../../shared/contracts/history.ts').HistoryPoint} HistoryPoint */
/** @typedef {[name: string, text: string]} Text a text in the readout; `name` selects its colour */

const { format } = new Intl.NumberFormat('en', { maximumSignificantDigits: 3 })

/**
 * A curve in the picture. `minimum`: the full height represents at least this value, so that noise stays small.
 * @typedef {{
 *   name: string, label: string, height: number, minimum: number,
 *   value: (point: HistoryPoint) => number | null, format: (value: number) => string,
 * }} Lane
 */

/** @type {Lane[]} */
export const LANES = [
  {
    name: 'views',
    label: 'views/s',
    height: 76,
    minimum: 4,
    value: ({ plays, seconds }) => plays / seconds,
    format: (value) => `${format(value)}/s`,
  },
  { name: 'p99', label: 'p99', height: 30, minimum: 20, value: ({ p99Ms }) => p99Ms, format: toEstimate },
  { name: 'backlog', label: 'outbox', height: 30, minimum: 4, value: ({ backlog }) => backlog, format },
  { name: 'lag', label: 'lag', height: 30, minimum: 1_000, value: ({ lagMs }) => lagMs, format: formatRoughMs },
]

/**
 * The readout for a step.
 * @param {HistoryPoint} point
 * @returns {Text[]}
 */
export function describePoint({ plays, errors, seconds, p99Ms, backlog, lagMs }) {
  /** @type {Text[]} */
  const p99 = p99Ms === null ? [] : [['p99', `p99 ${toEstimate(p99Ms)}`]]
  return [
    ['views', `${format(plays / seconds)} views/s`],
    ['errors', `${format(errors / seconds)} errors/s`],
    ...p99,
    ['backlog', backlog === null ? 'outbox unknown' : `${format(backlog)} in outbox`],
    ['lag', lagMs === null ? 'lag unknown' : `lag ${formatRoughMs(lagMs)}`],
  ]
}

/**
 * Marks a number as an estimate, because it is interpolated within a histogram bucket.
 * @param {number} ms
 */
function toEstimate(ms) {
  return `~${formatRoughMs(ms)}`
}
