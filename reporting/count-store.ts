import type { Audit } from '../shared/contracts/audit.ts'
import type { SkippedMessage } from '../shared/contracts/event-batch.ts'
import type { LostViews } from '../shared/contracts/lost-views.ts'
import type { Play } from '../shared/contracts/play.ts'
import type { LogPosition } from '../shared/contracts/position.ts'
import type {
  CountLookup,
  Counts,
  ListedViews,
  LookedUpCounts,
  PlayCounts,
  RankedBy,
  TopEntry,
} from '../shared/contracts/view-counts.ts'
import type { ViewExplanation } from '../shared/contracts/view-explanation.ts'
import type { LiveSource } from '../shared/live/live-feed.ts'
import type { EngineBatch, Verdicts } from './engine.ts'
import type { SeriesCounts, SeriesRange } from './series.ts'

export type CountedBy = 'asset' | 'user'

/** What queue-listener reports about the log, with each batch and every 500 ms between batches. */
export type LogReport = {
  incarnation: string
  /** Sequence of the last message in the log; undefined if queue-listener runs a previous release. */
  end?: number | undefined
  /** When the log stored the oldest message that is not counted yet (RFC 3339). */
  oldest?: string | undefined
}

/** The views in the log between the sequences `after` (exclusive) and `through` (inclusive). */
export type CountBatch = EngineBatch &
  LogReport & {
    /** The dead letters in the range. */
    skipped?: SkippedMessage[] | undefined
    /** If the batch starts a new incarnation of the log: the position reached in the previous incarnation. */
    leaving?: LogPosition | undefined
  }

/** Receives each report about the log, the counts' position at that time, and the report's age. */
export type ReportObserver = (report: LogReport, position: LogPosition | undefined, ageMs?: number) => void

/**
 * The counts, and the log position that they reflect. Both are updated atomically, so that each view in the log is
 * counted exactly once: a duplicate or out-of-order batch does not start at the position, and is rejected.
 *
 * Every method rejects with UnavailableError while the store is unavailable.
 */
export type CountStore = {
  /** Identifies the counts. Instances that share their counts have the same id. Undefined until the id is known. */
  id(): string | undefined
  /** An asset's or user's counts, from one snapshot; undefined if it has no views. */
  counts(by: CountedBy, id: string): Promise<Counts | undefined>
  /** The counts for all given ids, from one snapshot; 0 for those without views. */
  lookUp(ids: CountLookup): Promise<LookedUpCounts>
  /** Like `lookUp`, but returns only the views, in the order of the ids, and the last counted serial of `producer`. */
  listViews(ids: CountLookup, producer?: string): Promise<ListedViews>
  /** The first `limit` ids by descending count, then by id. `limit` is at most MAX_TOP. */
  top(by: CountedBy, of: RankedBy, limit: number): Promise<TopEntry[]>
  /** The number of assets or users with views. */
  size(by: CountedBy): Promise<number>
  /**
   * Counts a view that is not in the log.
   * @throws UnavailableError if there is no room for a new id
   */
  count(play: Play): Promise<PlayCounts>
  /** The log position that the counts reflect; undefined before the first batch. */
  position(): Promise<LogPosition | undefined>
  /**
   * If the batch starts at the position, counts its views except duplicates, and advances the position. Otherwise,
   * changes nothing.
   * @returns what the batch adds to the counts; undefined if it does not start at the position
   * @throws UnavailableError if there is no room for the batch's new ids, in which case nothing changes
   */
  apply(batch: CountBatch): Promise<Verdicts | undefined>
  /** Accepts a report without a batch, and returns the position. */
  report(report: LogReport): Promise<LogPosition | undefined>
  /** The views that the log acknowledged but lost. */
  lost(): Promise<LostViews>
  /** The outcome of the event with this id, and its explanation; undefined if its verdict is not kept. */
  explain(id: string): Promise<ViewExplanation | undefined>
  /** When the log stored the oldest view whose verdict is kept; undefined if there is none. */
  knownSince(): Promise<Date | undefined>
  /** Accounts for every view, from one snapshot. */
  audit(): Promise<Omit<Audit, 'waiting'>>
  /** The views over time, from one snapshot. Each view counts towards the step in which it was played. */
  series(range: SeriesRange): Promise<SeriesCounts>
  /** Publishes a snapshot of the counts, and then their changes. Supports one subscriber at a time. */
  follow: LiveSource
}
