import type { SeriesStep } from '../../shared/contracts/series.ts'
import {
  RETENTION_MS,
  type SeriesCounts,
  type SeriesRange,
  STEP_MS,
  type StepCount,
  startsIn,
  toSince,
} from '../series.ts'
import type { StepAddition } from '../step-additions.ts'
import type { Rows } from './database.ts'
import { toIdArray, toLiteral, toNumberArray } from './literals.ts'

/** Stands for all assets together. It cannot clash with an asset, because the empty string is not a valid id. */
const ALL_ASSETS = ''
const CODES = { minute: 'm', hour: 'h', day: 'd' } satisfies Record<SeriesStep, string>
/**
 * The codes of rows with watch time. Their column `views` contains the total watch time of a step's views, in
 * milliseconds.
 */
export const WATCHED_CODES = { minute: 'M', hour: 'H', day: 'D' } satisfies Record<SeriesStep, string>
type Codes = Record<SeriesStep, string>

/** The log's clock, or the time of a later direct count. */
const CLOCK = `greatest(clock, coalesce(
  (select at from reporting.series where step = '${CODES.minute}' order by at desc limit 1), 0))`

type Kind = { name: string; codes: Codes }

/** A common table expression that adds to the series. */
export function toSeriesWrites(additions: Iterable<StepAddition>, of: Kind = OF_VIEWS): string[] {
  const rows = [...toSeriesRows(additions, of.codes)]
  if (rows.length === 0) return []
  return [
    `${of.name}_written as (
      insert into reporting.series as current (step, at, asset_id, views, qualified)
      select * from ${toSource(rows)} where exists (select from moved)
      on conflict (step, at, asset_id) do update
      set views = current.views + excluded.views, qualified = current.qualified + excluded.qualified)`,
  ]
}

const OF_VIEWS: Kind = { name: 'series', codes: CODES }

type SeriesRow = { step: string; at: number; assetId: string; views: number; qualified: number }

/** The rows are sorted within each step, so that adjacent index entries are updated together. */
export function* toSeriesRows(additions: Iterable<StepAddition>, codes: Codes = CODES): Generator<SeriesRow> {
  for (const { step, at, total, assets } of additions) {
    const row = { step: codes[step], at }
    yield { ...row, assetId: ALL_ASSETS, ...total }
    for (const [assetId, count] of [...assets].sort(([a], [b]) => (a < b ? -1 : 1))) yield { ...row, assetId, ...count }
  }
}

export function insertSeries(rows: readonly SeriesRow[]): string {
  return `insert into reporting.series (step, at, asset_id, views, qualified) select * from ${toSource(rows)}`
}

function toSource(rows: readonly SeriesRow[]): string {
  const ids = (['step', 'assetId'] as const).map((name) => toIdArray(rows.map((row) => row[name])))
  const numbers = (['at', 'views', 'qualified'] as const).map((name) => toNumberArray(rows.map((row) => row[name])))
  const columns = [`${ids[0]}::"char"[]`, numbers[0], ids[1], numbers[1], numbers[2]]
  return `unnest(${columns.join(', ')}) as added(step, at, asset_id, views, qualified)`
}

/**
 * The first row has the clock and the first step that is kept. Each step is looked up by the whole key: without
 * statistics, Postgres might scan the index entries for all assets.
 */
export function toSeriesQuery(range: SeriesRange, hasWatch: boolean): string {
  const { step, assetId = ALL_ASSETS } = range
  const sinceColumn = step === 'minute' || assetId === ALL_ASSETS ? 'null' : `series_${step}_since`
  const starts = toNumberArray(startsIn(range))
  const toSteps = (code: string, isWatched: boolean) => `
    union all select start, views, qualified, ${isWatched} from unnest(${starts}) as start, lateral (
      select views, qualified from reporting.series
      where step = '${code}' and at = start and asset_id = ${toLiteral(assetId)} offset 0) as found`
  const watched = hasWatch ? toSteps(WATCHED_CODES[step], true) : ''
  return `select null, ${CLOCK}, ${sinceColumn}, null from reporting.state${toSteps(CODES[step], false)}${watched}`
}

export function toSeriesCounts({ step }: SeriesRange, [state = [], ...rows]: Rows, hasWatch: boolean): SeriesCounts {
  const [, clock, storedSince] = state
  const counts = new Map<number, StepCount>()
  const watched = new Map<number, number>()
  for (const [at, views, qualified, isWatched] of rows) {
    if (isWatched === true) watched.set(Number(at), Number(views))
    else counts.set(Number(at), { views: Number(views), qualified: Number(qualified) })
  }
  const found = { since: toSince(step, Number(clock), storedSince === null ? undefined : Number(storedSince)), counts }
  return hasWatch ? { ...found, watched } : found
}

/**
 * A common table expression that deletes at most `limit` expired counts. It reads only these counts, because writers
 * wait until it ends.
 */
export function toSeriesPruning(limit: number): string {
  const old = (['minute', 'hour'] as const).flatMap((step) => {
    const end = `(select ${CLOCK} from reporting.state) - ${RETENTION_MS[step] + STEP_MS[step]}`
    return [CODES, WATCHED_CODES].map(
      (codes) =>
        `(select ctid from reporting.series where step = '${codes[step]}' and at <= ${end} order by at limit ${limit})`,
    )
  })
  return `series_pruned as (delete from reporting.series where ctid = any(array(
    select ctid from (${old.join(' union all ')}) as old limit ${limit})) returning 1)`
}
