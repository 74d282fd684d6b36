import { createRecentRecords, type RecentRecords, type RecordCodec } from '../../shared/records/recent-records.ts'
import { toReportKey } from '../digest.ts'
import type { Verdicts } from '../engine.ts'
import { type RulesVersion, watchRuleOf } from '../rules/rule-sets.ts'
import { toStepAdditions } from '../step-additions.ts'
import type { VerdictRecord } from '../verdict-record.ts'
import { hasQualified, toWaitingChanges, toWatchGrowth } from '../watch/watch-changes.ts'
import { type EarlyReport, isOpen, MAX_EARLY_REPORTS, type WatchState } from '../watch/watch-time.ts'
import type { CountMap } from './count-map.ts'
import { createSeriesMap, type SeriesMap, type SeriesSince } from './series-map.ts'
import type { Totals } from './totals.ts'
import { createWaitingViews, type WaitingViews } from './waiting-views.ts'

/** `id`: the report's key. */
type EarlyRecord = Pick<EarlyReport, 'ms' | 'clock'> & { id: string }

/** The watch-time state. A view's watch time is stored as its verdict's mark. */
export type WatchedViews = WatchState & {
  records: RecentRecords<EarlyRecord>
  waiting: WaitingViews
  /** The total watch time of the views played in each step. The `views` of each step contain milliseconds. */
  series: SeriesMap
  /**
   * Applies a batch's changes to views from earlier batches. Must be called before the batch's own views are recorded.
   */
  apply(verdicts: Verdicts, clock: number, into: { counts: { asset: CountMap; user: CountMap }; totals: Totals }): void
}

type Options = {
  verdicts: RecentRecords<VerdictRecord>
  seriesKept: number
  seriesSince: SeriesSince
}

/** @returns undefined if the rules do not require watch time */
export function createWatchedViews(version: RulesVersion, options: Options): WatchedViews | undefined {
  const rule = watchRuleOf(version)
  if (!rule) return undefined
  const { verdicts, seriesKept: max, seriesSince: since } = options
  const records = createRecentRecords<EarlyRecord>({ max: MAX_EARLY_REPORTS, codec: earlyCodec })
  const waiting = createWaitingViews()
  const series = createSeriesMap({ max, since })

  return {
    rule,
    records,
    waiting,
    series,
    early: {
      find(play) {
        const found = records.find(toReportKey(play))
        return found && { ...play, ms: found.ms, clock: found.clock }
      },
      add: ({ ms, clock, ...play }) => void records.add({ id: toReportKey(play), ms, clock }),
    },
    find(viewId) {
      const found = verdicts.locate(viewId, ({ state }) => state === 'counted')
      if (found?.item.state !== 'counted') return undefined
      const { id, assetId, userId, at, clock, requiredMs } = found.item
      return { id, assetId, userId, at, clock, requiredMs, watchedMs: fromMark(verdicts.mark(found.number)) }
    },
    apply(changed, clock, { counts, totals }) {
      for (const growth of changed.grown) {
        const { id, assetId, userId, watchedMs } = growth.view
        const found = verdicts.locate(id, ({ state }) => state === 'counted')
        if (found) verdicts.setMark(found.number, toMark(watchedMs))
        if (!hasQualified(growth)) continue
        counts.asset.qualify(assetId)
        counts.user.qualify(userId)
      }
      const changes = toWaitingChanges(changed)
      for (const { unreported, reported } of changes.values()) totals.pending += unreported + reported
      const closed = waiting.apply(changes, clock)
      addReason(totals, rule.unreported, closed.unreported)
      addReason(totals, rule.name, closed.reported)
      const growth = toWatchGrowth(changed)
      series.add(toStepAdditions(growth, clock), clock)
    },
  }
}

function addReason(totals: Totals, reason: string, views: number): void {
  totals.pending -= views
  if (views > 0) totals.notQualified[reason] = (totals.notQualified[reason] ?? 0) + views
}

/** Keeps each verdict as long as reports may still count for its view. */
export function keepsOpen(version: RulesVersion): ((old: VerdictRecord, newest: VerdictRecord) => boolean) | undefined {
  return watchRuleOf(version) && ((old, newest) => isOpen(old.clock, newest.clock))
}

/** 0 is the mark for a view without a report. */
export function toMark(watchedMs: number | undefined): number {
  return watchedMs === undefined ? 0 : watchedMs + 1
}

export function fromMark(mark: number): number | undefined {
  return mark === 0 ? undefined : mark - 1
}

const earlyCodec: RecordCodec<EarlyRecord> = {
  write(writer, { ms, clock }) {
    writer.double(ms)
    writer.double(clock)
  },
  read: (reader, id) => ({ id, ms: reader.double(), clock: reader.double() }),
}
