import {
  MAX_POINTS,
  type Series,
  type SeriesPoint,
  type SeriesQuery,
  type SeriesStep,
} from '../shared/contracts/series.ts'
import type { FieldError } from '../shared/http/errors.ts'

const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS
const DAY_MS = 24 * HOUR_MS

export const STEP_MS: Record<SeriesStep, number> = { minute: MINUTE_MS, hour: HOUR_MS, day: DAY_MS }
/** Days are kept forever. */
export const RETENTION_MS = { minute: 48 * HOUR_MS, hour: 35 * DAY_MS }
const DEFAULT_MS = { minute: 60 * MINUTE_MS, hour: 48 * HOUR_MS, day: 30 * DAY_MS }

/** The steps that start in [from, to), for one asset or all assets together. Times are in milliseconds since 1970. */
export type SeriesRange = { step: SeriesStep; assetId?: string | undefined; from: number; to: number }

/** The views in one step, and how many of them are qualified. */
export type StepCount = { views: number; qualified: number }

/** The counts in the part of a range that a store keeps. */
export type SeriesCounts = {
  /** The start of the first step that is kept; undefined if every step is kept. */
  since: number | undefined
  /** The counts by the start of their step. Steps without views are absent. */
  counts: ReadonlyMap<number, StepCount>
  /** The watch time of these views by step, in milliseconds; undefined if the rules do not require watch time. */
  watched?: ReadonlyMap<number, number> | undefined
}

/** Returns the start of the step that contains a time. */
export function startOf(step: SeriesStep, time: number): number {
  return Math.floor(time / STEP_MS[step]) * STEP_MS[step]
}

/**
 * Returns the start of the first step that is kept at `clock`, the latest time at which the log stored a message.
 * Returns -Infinity if every step is kept. Before the first message, the clock is 0 and every step is kept.
 */
export function keptSince(step: SeriesStep, clock: number): number {
  if (clock === 0 || step === 'day') return Number.NEGATIVE_INFINITY
  return startOf(step, clock - RETENTION_MS[step])
}

/**
 * Returns the start of the first step that is kept; undefined if every step is kept.
 * @param storedSince the start of the first step that the store still has, if it has dropped earlier steps
 */
export function toSince(step: SeriesStep, clock: number, storedSince = Number.NEGATIVE_INFINITY): number | undefined {
  const since = Math.max(keptSince(step, clock), storedSince)
  return Number.isFinite(since) ? since : undefined
}

/** Returns the starts of all steps in a range. */
export function startsIn({ step, from, to }: SeriesRange): number[] {
  const first = firstStart(step, from)
  return Array.from({ length: sizeOf(step, first, to) }, (_, n) => first + n * STEP_MS[step])
}

/** Returns a query's range, or the error in the query. */
export function toRange({ assetId, step, ...query }: SeriesQuery, now: number): SeriesRange | FieldError {
  const to = query.to === undefined ? now : Date.parse(query.to)
  const from = query.from === undefined ? to - DEFAULT_MS[step] : Date.parse(query.from)
  if (from >= to) return { path: 'from', message: `must be before "to", which is ${new Date(to).toISOString()}` }
  const points = sizeOf(step, firstStart(step, from), to)
  if (points <= MAX_POINTS) return { step, assetId, from, to }
  return {
    path: 'from',
    message: `the range has ${points} points, but at most ${MAX_POINTS} are allowed: use a longer step or a shorter range`,
  }
}

/** Adds steps without views, and clears expired steps that the store may not have dropped yet. */
export function toSeries(range: SeriesRange, { since, counts, watched }: SeriesCounts): Series {
  const isKept = (at: number) => since === undefined || at >= since
  const toPoint = (at: number): SeriesPoint => {
    const secondsWatched = ((isKept(at) && watched?.get(at)) || 0) / 1_000
    const count = { views: 0, qualified: 0, ...(isKept(at) && counts.get(at)) }
    return { at: toTime(at), ...count, ...(watched && { secondsWatched }) }
  }
  return { step: range.step, since: since === undefined ? null : toTime(since), points: startsIn(range).map(toPoint) }
}

const COLUMNS: readonly (keyof SeriesPoint)[] = ['at', 'views', 'qualified']

/** CSV as defined in RFC 4180. */
export function toCsv({ points }: Pick<Series, 'points'>): string {
  const hasWatched = points.some(({ secondsWatched }) => secondsWatched !== undefined)
  const names: typeof COLUMNS = hasWatched ? [...COLUMNS, 'secondsWatched'] : COLUMNS
  return [names.join(), ...points.map((point) => names.map((name) => point[name]).join()), ''].join('\r\n')
}

function firstStart(step: SeriesStep, from: number): number {
  return Math.ceil(from / STEP_MS[step]) * STEP_MS[step]
}

function sizeOf(step: SeriesStep, first: number, to: number): number {
  return Math.max(0, Math.ceil((to - first) / STEP_MS[step]))
}

function toTime(ms: number): string {
  return new Date(ms).toISOString()
}
