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

/** What queue-listener knows about the log. It sends a report with each batch, and every 500 ms between batches. */
export type LogReport = {
  incarnation: string
  /** Sequence of the last message in the log; undefined if queue-listener is from a previous release. */
  end?: number | undefined
  /** When the oldest message that is not counted yet was stored (RFC 3339). */
  oldest?: string | undefined
}

/** The views in the log between the sequences `after` (exclusive) and `through` (inclusive). */
export type CountBatch = EngineBatch &
  LogReport & {
    /** The dead letters in the range. */
    skipped?: SkippedMessage[] | undefined
    /** The current position, if the batch starts a new incarnation of the log. */
    leaving?: LogPosition | undefined
  }

/** Receives each report about the log, the position of the counts at that time, and how long ago that was. */
export type ReportObserver = (report: LogReport, position: LogPosition | undefined, ageMs?: number) => void

/**
 * The counts, and the log position that they reflect. Both are updated atomically, so that each view in the log is
 * counted exactly once: a duplicate or out-of-order batch does not start at the position, and is rejected.
 *
 * Every method rejects with UnavailableError while the store is unavailable.
 */
export type CountStore = {
  /** Identifies the counts: instances that share them have the same id. Undefined while it is unknown. */
  id(): string | undefined
  /** The counts of an asset or user, in one snapshot; undefined if it has no views. */
  counts(by: CountedBy, id: string): Promise<Counts | undefined>
  /** The counts of all given ids, in one snapshot; 0 for those without views. */
  lookUp(ids: CountLookup): Promise<LookedUpCounts>
  /** Like `lookUp`, but only the views, in the order of the ids. */
  listViews(ids: CountLookup): Promise<ListedViews>
  /** The `limit` ids with the highest numbers, in descending order, then by id. `limit` is at most MAX_TOP. */
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
   * Counts the views of a batch that are not duplicates and advances the position, if the batch starts at the position.
   * Otherwise changes nothing.
   * @returns what was counted, and the gaps; undefined if the batch starts elsewhere
   * @throws UnavailableError if there is no room for its new ids; nothing is changed
   */
  apply(batch: CountBatch): Promise<Verdicts | undefined>
  /** Takes a report without a batch, and returns the position. */
  report(report: LogReport): Promise<LogPosition | undefined>
  /** The views that the log acknowledged and lost. */
  lost(): Promise<LostViews>
  /** What became of the event with this id, and why; undefined if its verdict is not kept. */
  explain(id: string): Promise<ViewExplanation | undefined>
  /** When the log stored the oldest view whose verdict is kept; undefined if there is none. */
  knownSince(): Promise<Date | undefined>
  /** Accounts for every view, in one snapshot. */
  audit(): Promise<Omit<Audit, 'waiting'>>
  /** The views over time, in one snapshot. Each view is in the step in which it was played. */
  series(range: SeriesRange): Promise<SeriesCounts>
  /** Publishes a snapshot of the counts and then their changes, to one subscriber at a time. */
  follow: LiveSource
}
