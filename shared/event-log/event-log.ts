import type { DeadLetter, DeadLetterPage } from '../contracts/dead-letter.ts'
import type { LogMessage, SerialRange, SkippedMessage } from '../contracts/event-batch.ts'
import type { LogPosition } from '../contracts/position.ts'
import type { DependencyState } from '../contracts/readiness.ts'
import type { View, WatchedView } from '../contracts/view.ts'
import type { TraceContext } from '../tracing/trace-context.ts'
import type { LogExtent } from './extent.ts'

/**
 * A view to append, with the id and the trace context of the request that caused it. If `watched` is set, the event is
 * not a view, but a report of how long an earlier view was watched. The report has its own id.
 */
export type NewView = Omit<View, 'producer'> & {
  requestId?: string
  watched?: Pick<WatchedView, 'viewId' | 'seconds'>
} & Partial<TraceContext>

/** The views in the messages after `after`, up to and including `through`; no views if all messages were skipped. */
export type LogBatch = {
  incarnation: string
  after: number
  through: number
  /** The sequence of the oldest message that the log retained when the reader started. */
  first: number
  /** The reader's position in the previous incarnation of the log, if this batch is the first of a new incarnation. */
  leaving?: LogPosition | undefined
  views: View[]
  /** The watch-time reports, in log order. */
  watched: WatchedView[]
  /** The trace contexts of the views whose traces are recorded. */
  traces: TraceContext[]
  /** The messages that the views and reports came from, in order. */
  messages: LogMessage[]
  /** The dead letters in the range, including those that were replayed or deleted. */
  skipped: SkippedMessage[]
  /** Number of unresolved dead letters in the range, all of which are skipped. */
  deadLetters: number
  /** The serials in skipped messages, if they are readable. */
  rejected: (SerialRange & { sequence: number })[]
  /** Number of messages after `through` when the batch was read. */
  pending: number
}

/** An event in the log. `view` is undefined if its message is not a valid batch of views. */
export type FoundEvent = { position: LogPosition; view: View | undefined }
/** `isComplete`: every message after the position was searched. */
export type Search = { found: FoundEvent | undefined; isComplete: boolean }

/** The messages after a position: their number, and when the first one was stored. */
export type Backlog = { messages: number; since: Date | undefined }

/** The log ends before the reader's position: it lost acknowledged messages, or was restored from a backup. */
export class LogRolledBackError extends Error {
  override name = 'LogRolledBackError'
}

/** The server removed the idle consumer, for example because this process was suspended. No message is lost. */
export class ReadInterruptedError extends Error {
  override name = 'ReadInterruptedError'
}

/** Appends to a log. No two live producers share an id. */
export type Producer = {
  id: string
  /**
   * Appends views in order, and resolves once the log has stored them. Calls must not overlap.
   *
   * After a failure it is unknown whether the views were stored. Retry the same views before appending others: views
   * that were stored are not stored again.
   * @param signal when it aborts, the append rejects promptly
   */
  append(views: readonly NewView[], signal: AbortSignal): Promise<void>
}

/** How a dead letter was resolved, and when (RFC 3339). */
export type Resolution = { action: 'replayed' | 'deleted'; at: string }

/**
 * `resolved`: this call resolved the dead letter by appending a message with `views` views at `sequence`, which is 0 if
 * no message was needed. `already resolved`: resolved earlier, possibly by another process. `invalid`: refused; nothing
 * was changed.
 */
export type Resolved =
  | { outcome: 'resolved'; sequence: number; views: number }
  | { outcome: 'already resolved'; resolution: Resolution }
  | { outcome: 'invalid'; reason: string }
  | { outcome: 'not found' }

/** A dead letter with its headers and body. `body` is undefined if the log no longer has it. */
type DeadLetterDetails = DeadLetter & { headers: Record<string, string[]>; body: Uint8Array | undefined }

/**
 * The rejected messages, which are not counted until they are replayed. A dead letter is identified by its sequence in
 * the log, and can be replayed or deleted only once. The original stays in the log and is skipped. The methods throw
 * UnavailableError if the log is unavailable.
 */
export type DeadLetters = {
  list(page: { after?: number | undefined; limit: number }): Promise<DeadLetterPage>
  get(sequence: number): Promise<DeadLetterDetails | undefined>
  /**
   * Appends a dead letter's views exactly once, with their ids, to `events.view.dead-letter.<sequence>`.
   * @param corrected replaces the body; must not contain new event ids
   */
  replay(sequence: number, corrected?: Uint8Array): Promise<Resolved>
  delete(sequence: number): Promise<Resolved>
  /** Number of dead letters that are neither replayed nor deleted. */
  count(): Promise<number>
}

/**
 * A log's replicas: how many the settings request, how many the log is configured with, and how many are online,
 * including the leader. `online` is 0 if the log has no leader.
 */
export type LogReplicas = { wanted: number | undefined; configured: number; online: number }

export type SearchOptions = { maxMessages: number; signal: AbortSignal }

/** An ordered, durable log of views, and of reports of how long they were watched. */
export type EventLog = AsyncDisposable & {
  /** The log's name in `/readyz`. */
  name: string
  state: () => DependencyState
  /** Why the log is not up. */
  reason?: () => string | undefined
  /** A problem with the log's replicas, in one line. The log may still be up. */
  problem?: () => string | undefined
  /** The log's replicas; undefined while the log is unreachable. */
  replicas?: () => LogReplicas | undefined
  /**
   * @param source a prefix: the CloudEvents `source` of each event is `<source>/<id>`
   * @param id the id of an earlier producer to resume; by default, a new id
   */
  producer(source: string, id?: string): Producer
  /**
   * Reads the log after a position, and then tails it. Each batch contains all available views, up to
   * MAX_VIEWS_PER_BATCH. Without a position, or with one from another incarnation of the log, reads from the start.
   * Ends when `signal` aborts. Throws on any interruption; to continue, read from the last known position.
   * @throws LogRolledBackError, LogTruncatedError, ReadInterruptedError
   */
  read(after: LogPosition | undefined, signal: AbortSignal): AsyncIterable<LogBatch>
  /**
   * Finds an event by its id, among the newest `maxMessages` messages after a position. Read-only.
   * @throws Error if the log is unavailable, or if `signal` aborts
   */
  find(id: string, after: LogPosition | undefined, options: SearchOptions): Promise<Search>
  /**
   * Turns the message at a sequence into a dead letter, because its views were refused. Idempotent.
   * @param reason one human-readable line
   */
  reject(sequence: number, reason: string): Promise<void>
  deadLetters: DeadLetters
  /** The position of the last message. */
  end(): Promise<LogPosition>
  extent(): Promise<LogExtent>
  /** Returns the backlog for a reader at this position, including dead letters. Empty if the log does not exist yet. */
  backlog(after: LogPosition | undefined): Promise<Backlog>
}
