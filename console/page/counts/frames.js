import { hourAndMinute } from '../format-time.js'

/** @typedef {import('../../../shared/contracts/series.ts').Series} Series */
/** @typedef {import('../../../shared/contracts/series.ts').SeriesStep} SeriesStep */
/** @typedef {{ views: number | null, qualified: number | null }} Step null: unknown, or no longer kept */
/**
 * What the chart shows: one value per step, oldest first. `starts` are in milliseconds since 1970, and `times` are the
 * step labels on the time axis.
 * @typedef {{
 *   title: string, steps: Step[], starts: number[],
 *   describe: (step: number) => string, times: [step: number, text: string][],
 * }} Frame
 */
/**
 * @typedef {{
 *   step: SeriesStep, count: number, title: string, describe: (start: Date, end: Date) => string,
 *   isLabelled: (start: Date) => boolean, label: Intl.DateTimeFormat,
 * }} Range
 */

const dayAndTime = new Intl.DateTimeFormat('en', {
  month: 'short',
  day: 'numeric',
  hour: 'numeric',
  minute: '2-digit',
  hourCycle: 'h23',
})
const day = new Intl.DateTimeFormat('en', { month: 'short', day: 'numeric', timeZone: 'UTC' })
const weekday = new Intl.DateTimeFormat('en', { weekday: 'short', month: 'short', day: 'numeric', timeZone: 'UTC' })

/** Thin spaces around the dash, as in `formatRange`. */
const RANGE_SEPARATOR = '\u2009–\u2009'
const STEP_MS = { minute: 60_000, hour: 3_600_000, day: 86_400_000 }

/**
 * @param {Date} start
 * @param {Date} end
 */
function describeMinute(start, end) {
  // For a step that ends at midnight, formatRange would include both dates.
  return [start, end].map((at) => hourAndMinute.format(at)).join(RANGE_SEPARATOR)
}

/**
 * Times are local, but days are UTC days, because reporting aligns its steps to UTC.
 * @type {Record<string, Range>}
 */
export const ranges = {
  minutes: {
    step: 'minute',
    count: 5,
    title: 'Per minute, last 5 minutes',
    describe: describeMinute,
    isLabelled: () => true,
    label: hourAndMinute,
  },
  hour: {
    step: 'minute',
    count: 60,
    title: 'Per minute, last hour',
    describe: describeMinute,
    isLabelled: (start) => start.getMinutes() % 15 === 0,
    label: hourAndMinute,
  },
  day: {
    step: 'hour',
    count: 24,
    title: 'Per hour, last 24 hours',
    describe: (start, end) => dayAndTime.formatRange(start, end),
    isLabelled: (start) => start.getHours() % 6 === 0,
    label: hourAndMinute,
  },
  month: {
    step: 'day',
    count: 30,
    title: 'Per day (UTC), last 30 days',
    describe: (start) => `${weekday.format(start)} (UTC)`,
    isLabelled: (start) => start.getUTCDay() === 1,
    label: day,
  },
}

/** @type {Frame} */
export const EMPTY_FRAME = { title: '', steps: [], starts: [], describe: () => '', times: [] }

/**
 * @param {Range} range
 * @param {Series | undefined} series undefined if it is not loaded
 * @returns {Frame}
 */
export function toFrame({ step, count, title, describe, isLabelled, label }, series) {
  const points = series?.points.slice(-count) ?? []
  const starts = points.map(({ at }) => new Date(at))
  const keptFrom = Date.parse(series?.since ?? '')
  return {
    title,
    steps: points.map(({ at, views, qualified }) =>
      Date.parse(at) < keptFrom ? { views: null, qualified: null } : { views, qualified },
    ),
    starts: starts.map(Number),
    describe(n) {
      const start = starts[n] ?? new Date()
      const text = describe(start, new Date(start.getTime() + STEP_MS[step]))
      return n === points.length - 1 ? `${text}, so far` : text
    },
    times: starts.flatMap((start, n) => (isLabelled(start) ? [[n, label.format(start)]] : [])),
  }
}
