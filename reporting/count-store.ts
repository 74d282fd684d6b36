import type { LostViews } from '../shared/contracts/lost-views.ts'
import type { Play } from '../shared/contracts/play.ts'
import type { LogPosition } from '../shared/contracts/position.ts'
import type { CountLookup, LookedUpCounts, PlayCounts, ViewCount } from '../shared/contracts/view-counts.ts'
import type { LiveSource } from '../shared/live/live-feed.ts'
import type { Deduplicated, NumberedBatch } from './deduplicator.ts'

export type CountedBy = 'asset' | 'user'

/** What queue-listener knows about the log. It sends a report with each batch, and every 500 ms between batches. */
export type LogReport = {
  incarnation: string
  /** Sequence of the last message in the log; undefined if the queue-listener is of a previous release. */
  end?: number | undefined
  /** When the oldest message that is not counted yet was stored (RFC 3339). */
  oldest?: string | undefined
}

/** The views in the log between the sequences `after` (exclusive) and `through` (inclusive). */
export type CountBatch = NumberedBatch &
  LogReport & {
    /** The current position, if the batch starts a new incarnation of the log. */
    leaving?: LogPosition | undefined
  }

/** Receives each report of the log, the position of the counts at that time, and how long ago that was. */
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
  /** The views of an asset or user; undefined if it has none. */
  views(by: CountedBy, id: string): Promise<number | undefined>
  /** The counts of all given ids; 0 for those without views. */
  lookUp(ids: CountLookup): Promise<LookedUpCounts>
  /** The `limit` ids with the most views, in descending order, then by id. `limit` is at most MAX_TOP. */
  top(by: CountedBy, limit: number): Promise<ViewCount[]>
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
   * @returns the counted views and the gaps; undefined if the batch starts elsewhere
   * @throws UnavailableError if there is no room for its new ids; nothing is changed
   */
  apply(batch: CountBatch): Promise<Deduplicated | undefined>
  /** Takes a report without a batch, and returns the position. */
  report(report: LogReport): Promise<LogPosition | undefined>
  /** The views that the log acknowledged and lost. */
  lost(): Promise<LostViews>
  /** Publishes a snapshot of the counts and then their changes, to one subscriber at a time. */
  follow: LiveSource
}
