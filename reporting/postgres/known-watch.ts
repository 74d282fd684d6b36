import { z } from 'zod'
import type { CountBatch } from '../count-store.ts'
import { toReportKey } from '../digest.ts'
import type { WatchRule } from '../rules/view-rule.ts'
import {
  type EarlyReport,
  isOpen,
  MAX_EARLY_REPORTS,
  OPEN_MS,
  type OpenView,
  type WatchState,
} from '../watch/watch-time.ts'
import { toEventId, toEventKey } from './event-key.ts'
import { toIdArray, toUuidArray } from './literals.ts'

/** Where a view's verdict is stored. */
export type VerdictPlace = { clock: number; sequence: number; index: number; origin: number }

/** An early report, whose view is not in the log yet. `number` is its number among all early reports, in log order. */
export type NumberedReport = Pick<EarlyReport, 'ms' | 'clock'> & { number: number }

/** The stored watch-time data that a batch needs. */
export type KnownWatch = {
  /** The number of early reports so far, and the log's clock at the last one. */
  early: number
  earlyClock: number
  /** The looked-up views that may still be open, by id, in log order. */
  views: ReadonlyMap<string, OpenView & VerdictPlace>
  /** The looked-up reports, by key. */
  reports: ReadonlyMap<string, NumberedReport>
}

const bigint = z.coerce.number()
const [key, text] = [z.string(), z.string()]
const [at, clock, sequence, index, origin] = [bigint, bigint, bigint, bigint, bigint]
export const WatchRows = {
  views: z.array(z.tuple([key, text, text, text, at, clock, sequence, index, origin, text, text, bigint.nullable()])),
  reports: z.array(z.tuple([key, bigint, clock, bigint])),
}

/** The fields of a JSON object with the watch times that a batch needs. */
export function toWatchQuery({ views, watched = [] }: CountBatch): string {
  const keys = toUuidArray([...new Set(watched.map(({ viewId }) => toEventKey(viewId).key))])
  const plays = [...views.map(({ id, ...view }) => ({ ...view, viewId: id })), ...watched]
  const reports = toIdArray([...new Set(plays.map(toReportKey))])
  return `'watched', (select coalesce(json_agg(json_build_array(key, event_id, asset_id, user_id, at, verdict.clock,
        sequence, index, origin, verdict.state, because, ms) order by origin, sequence, index), '[]')
      from reporting.verdict left join reporting.watched using (clock, sequence, index, origin)
      where key = any(${keys}) and verdict.state <> 'r' and verdict.clock >= ${OPEN_SINCE}),
    'reports', (select coalesce(json_agg(json_build_array(key, number, clock, ms)), '[]')
      from reporting.early_report where key = any(${reports}))`
}

/** All views counted before this time by the log's clock have closed. */
const OPEN_SINCE = `(select clock - ${OPEN_MS} from reporting.state)`

export function toKnownViews(rows: z.infer<typeof WatchRows.views>): KnownWatch['views'] {
  return new Map(
    rows.map(([key, eventId, assetId, userId, at, clock, sequence, index, origin, state, because, ms]) => {
      const id = toEventId({ key, id: eventId })
      const requiredMs = state === 'p' ? Number(because) : undefined
      const place = { clock, sequence, index, origin }
      return [id, { id, assetId, userId, at, requiredMs, watchedMs: ms ?? undefined, ...place }]
    }),
  )
}

export function toKnownReports(rows: z.infer<typeof WatchRows.reports>): KnownWatch['reports'] {
  return new Map(rows.map(([key, number, clock, ms]) => [key, { number, clock, ms }]))
}

/** Returns true if a batch can be applied without looking up watch times. */
export function knowsWatch({ early, earlyClock }: KnownWatch, clock: number, { watched = [] }: CountBatch): boolean {
  return watched.length === 0 && (early === 0 || !isOpen(earlyClock, clock))
}

/** The watch times that were looked up for a batch, and the reports that the batch adds. */
export function createWatchState(rule: WatchRule, knownWatch: KnownWatch) {
  let last = knownWatch.early
  let lastClock = knownWatch.earlyClock
  const addedReports = new Map<string, NumberedReport>()
  const state: WatchState = {
    rule,
    find: (viewId) => knownWatch.views.get(viewId),
    early: {
      find(play) {
        const key = toReportKey(play)
        const report = addedReports.get(key) ?? knownWatch.reports.get(key)
        return report && report.number > last - MAX_EARLY_REPORTS ? { ...play, ...report } : undefined
      },
      add({ ms, clock, ...play }) {
        last += 1
        lastClock = clock
        addedReports.set(toReportKey(play), { number: last, ms, clock })
      },
    },
  }
  return { state, added: () => [...addedReports], last: () => ({ early: last, earlyClock: lastClock }) }
}
