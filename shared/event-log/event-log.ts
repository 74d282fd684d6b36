import type { LogPosition } from '../contracts/position.ts'
import type { DependencyState } from '../contracts/readiness.ts'
import type { View } from '../contracts/view.ts'
import type { TraceContext } from '../tracing/trace-context.ts'

/** A view to append, with the id and the trace context of the request that caused it. */
export type NewView = View & { requestId?: string } & Partial<TraceContext>

/** The views in the messages after `after`, up to and including `through`. None if all messages were dead letters. */
export type LogBatch = {
  incarnation: string
  after: number
  through: number
  views: View[]
  /** The trace contexts of those views whose traces are recorded. */
  traces: TraceContext[]
  /** The messages that the views came from, in order, with the number of views of each. */
  messages: { sequence: number; views: number }[]
  /** Number of messages in the range that were not valid batches of views. They are skipped. */
  deadLetters: number
  /** Number of messages after `through` when the batch was read. */
  pending: number
}

/** The messages after a position: their number, and when the first one was stored. */
export type Backlog = { messages: number; since: Date | undefined }

/** The log ends before the reader's position: it lost acknowledged messages, or was restored from a backup. */
export class LogRolledBackError extends Error {
  override name = 'LogRolledBackError'
}

/** The server has removed the reader, as it does after a long pause of this process. Nothing is lost. */
export class ReadInterruptedError extends Error {
  override name = 'ReadInterruptedError'
}

/** Appends to a log. Ids are unique: two live producers never share one. */
export type Producer = {
  id: string
  /**
   * Appends views in order, and resolves once the log has stored them. Calls must not overlap.
   *
   * After a failure it is unknown whether the views were stored. Retry the same views before appending others:
   * views that were stored are not stored again.
   * @param signal rejects the append promptly when it aborts
   */
  append(views: readonly NewView[], signal: AbortSignal): Promise<void>
}

/** One ordered, durable log of views. */
export type EventLog = AsyncDisposable & {
  /** Its name as a dependency in `/readyz`. */
  name: string
  state: () => DependencyState
  /** Why it is not up. */
  reason?: () => string | undefined
  /**
   * @param source the CloudEvents `source` of its events is `<source>/<id>`
   * @param id the id of an earlier producer to resume; by default, a new one
   */
  producer(source: string, id?: string): Producer
  /**
   * Reads the log after a position, and then tails it. Each batch contains all available views, up to
   * MAX_VIEWS_PER_BATCH. Without a position, or with one from another incarnation of the log, reads from the start.
   * Ends when `signal` aborts, and throws on any interruption: then read again from the last known position.
   * @throws LogRolledBackError, ReadInterruptedError
   */
  read(after: LogPosition | undefined, signal: AbortSignal): AsyncIterable<LogBatch>
  /**
   * Keeps the message at a sequence as a dead letter, because its views were refused. Idempotent.
   * @param reason one line for a person
   */
  reject(sequence: number, reason: string): Promise<void>
  /** The position of the last message. */
  end(): Promise<LogPosition>
  /** The backlog of a reader at this position, dead letters included. Empty if the log does not exist yet. */
  backlog(after: LogPosition | undefined): Promise<Backlog>
}
