/** @typedef {import('../../../shared/contracts/history.ts').History} History */
/** @typedef {import('../../../shared/contracts/history.ts').HistoryPoint} HistoryPoint */
/** @typedef {import('../../../shared/contracts/history.ts').HistoryRange} HistoryRange */

/** @type {Record<HistoryRange, { title: string, pollMs: number, steps: number }>} */
export const RANGES = {
  '5m': { title: 'Last 5 minutes', pollMs: 2_000, steps: 300 },
  '1h': { title: 'Last hour', pollMs: 5_000, steps: 240 },
  '24h': { title: 'Last 24 hours', pollMs: 15_000, steps: 288 },
}

const SECOND_MS = 1_000
const MINUTE_MS = 60_000
/** If the newest sample is at most this old, the axis ends at that sample. */
const UNSAMPLED_MS = 3_000
/** Minimum number of steps on an axis. */
const MIN_STEPS = 4
const TICK_MINUTES = [1, 5, 10, 30, 60, 240]
const MAX_TICKS = 8

/**
 * The time axis of a history. Steps are consecutive, and a step without samples has no point. If the history is shorter
 * than its range, the axis covers only the history.
 * @param {History} history
 */
export function toAxis({ range, step, now, since, points }) {
  const stepMs = step * SECOND_MS
  const ended = floor(Date.parse(now), stepMs) + stepMs
  const last = points.at(-1)
  const sampled = last ? Date.parse(last.at) + stepMs : ended
  // The current second has no sample yet, because a second is sampled once it has ended.
  const end = ended - sampled <= UNSAMPLED_MS ? sampled : ended
  const first = since ?? points[0]?.at
  const age = first === undefined ? 0 : Math.ceil((end - Date.parse(first)) / stepMs)
  const count = Math.min(RANGES[range].steps, Math.max(age, MIN_STEPS, MINUTE_MS / stepMs))
  const start = end - count * stepMs
  /** @type {Map<number, HistoryPoint>} */
  const byStep = new Map(points.map((point) => [Math.round((Date.parse(point.at) - start) / stepMs), point]))
  return {
    start,
    end,
    stepMs,
    count,
    /** @param {number} n */
    pointAt: (n) => byStep.get(n),
    /** @param {number} at milliseconds since 1970 */
    stepAt: (at) => Math.min(count - 1, Math.max(0, Math.floor((at - start) / stepMs))),
    /** @param {number} n */
    timeOf: (n) => start + n * stepMs,
    ticks: toTicks(start, end),
  }
}

/** @typedef {ReturnType<typeof toAxis>} Axis */

/**
 * The ticks, at multiples of an interval in local time.
 * @param {number} start
 * @param {number} end
 */
function toTicks(start, end) {
  const everyMs = MINUTE_MS * (TICK_MINUTES.find((each) => end - start <= each * MINUTE_MS * MAX_TICKS) ?? 240)
  const offset = new Date(end).getTimezoneOffset() * MINUTE_MS
  const first = Math.ceil((start - offset) / everyMs) * everyMs + offset
  return Array.from({ length: Math.max(0, Math.ceil((end - first) / everyMs)) }, (_, n) => first + n * everyMs)
}

/**
 * The most recent moment at which the local clock showed this time of day.
 * @param {string} text HH:MM or HH:MM:SS
 * @param {number} now milliseconds since 1970
 */
export function toLastTime(text, now) {
  const [hours = 0, minutes = 0, seconds = 0] = text.split(':').map(Number)
  const time = new Date(now)
  time.setHours(hours, minutes, seconds, 0)
  if (time.getTime() <= now) return time.getTime()
  // Go back one calendar day instead of 24 hours, because a day has 23 or 25 hours when the clocks change.
  time.setDate(time.getDate() - 1)
  return time.setHours(hours, minutes, seconds, 0)
}

/**
 * The most detailed range that contains a time.
 * @param {number} at
 * @param {number} now
 * @returns {HistoryRange}
 */
export function toRange(at, now) {
  if (now - at < 5 * MINUTE_MS) return '5m'
  return now - at < 60 * MINUTE_MS ? '1h' : '24h'
}

/**
 * @param {number} at
 * @param {number} by
 */
function floor(at, by) {
  return at - (at % by)
}
