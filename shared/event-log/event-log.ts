import type { LogPosition } from '../contracts/position.ts'
import type { DependencyState } from '../contracts/readiness.ts'
import type { View } from '../contracts/view.ts'
import type { TraceContext } from '../tracing/trace-context.ts'

/** A view to append, with the id and the trace context of the request that caused it. */
export type NewView = View & { requestId?: string } & Partial<TraceContext>

/** The views in the messages after `after`, up to and including `through`. Empty if all of those were dead letters. */
export type LogBatch = {
  incarnation: string
  after: number
  through: number
  views: View[]
  /** The trace contexts of those views whose traces are recorded. */
  traces: TraceContext[]
  /** How many messages in the range were not valid batches of views. They are skipped and kept as dead letters. */
  deadLetters: number
  /** How many messages the log had after `through` when the batch was read. */
  pending: number
}

/** What follows a position: the number of messages, and when the first of them was stored. */
export type Backlog = { messages: number; since: Date | undefined }

/** The log ends before its reader's position: it lost messages that it had confirmed, or was restored from an old copy. */
export class LogRolledBackError extends Error {
  override name = 'LogRolledBackError'
}

/** Appends to a log. Ids are unique: two live producers never share one. */
export type Producer = {
  id: string
  /**
   * Appends views in order, and resolves once the log has stored them. Calls must not overlap.
   *
   * After a failure it is unknown whether the views were stored. Append the same ones first: those that were stored
   * are not stored again.
   * @param signal aborting it makes the append reject soon
   */
  append(views: readonly NewView[], signal: AbortSignal): Promise<void>
}

/** One ordered, durable log of views. */
export type EventLog = AsyncDisposable & {
  /** Its name as a dependency in `/readyz`. */
  name: string
  state: () => DependencyState
  /**
   * @param source the CloudEvents `source` of its events is `<source>/<id>`
   * @param id of an earlier producer that it continues; by default it is a new one
   */
  producer(source: string, id?: string): Producer
  /**
   * Reads what follows a position, then follows the log as it grows. Each batch holds all views that are available, up to
   * MAX_VIEWS_PER_BATCH. Without a position, or with one in another incarnation of the log, it reads from the start.
   * It ends when `signal` aborts. Any interruption is thrown: read again from the last known position.
   * @throws LogRolledBackError
   */
  read(after: LogPosition | undefined, signal: AbortSignal): AsyncIterable<LogBatch>
  /** The position of the last message. */
  end(): Promise<LogPosition>
  /** What a reader at this position has not read yet, dead letters included. Empty if there is no log yet. */
  backlog(after: LogPosition | undefined): Promise<Backlog>
}
