import type { Position } from '../contracts/position.ts'
import type { View } from '../contracts/view.ts'
import type { DependencyState } from '../runtime/health.ts'
import type { TraceContext } from '../tracing/trace-context.ts'

/** A view on its way into the log, with the id of the request that caused it, and its place in that one's trace. */
export type NewView = View & { requestId?: string } & Partial<TraceContext>

/** The views of the messages after `after`, up to and with `through`: none where those were all rejected. */
export type LogBatch = {
  stream: string
  after: number
  through: number
  views: View[]
  /** Where the views belong whose traces are recorded. */
  traces: TraceContext[]
  /** How many messages of this stretch were no valid batch of views. They are skipped and kept aside. */
  rejected: number
  /** How many messages the log had after this stretch when it was read. */
  pending: number
}

/** What comes after a position: how many messages, and since when the first of them waits. */
export type Backlog = { messages: number; since: Date | undefined }

/** The log ends before the position of its reader: it lost what it had confirmed, or an older copy was restored. */
export class LogRolledBackError extends Error {
  override name = 'LogRolledBackError'
}

/** Appends to a log. No two may have the same id at the same time. */
export type Producer = {
  id: string
  /**
   * Appends views, in their order, and resolves once the log has them. Not to be called again before it has settled.
   * After a failure nobody knows whether the views were stored: append the same ones first, and those that were are
   * not stored again.
   * @param signal when it aborts, the append ends soon, with an error
   */
  append(views: readonly NewView[], signal: AbortSignal): Promise<void>
}

/** One ordered, durable log of views. */
export type EventLog = AsyncDisposable & {
  state: () => DependencyState
  /** A producer for this log: a new one, or one that goes on where an earlier process stopped. */
  producer(id?: string): Producer
  /**
   * Reads what comes after a position, then goes on as the log grows. Each batch holds as many views as are waiting,
   * up to MAX_VIEWS_PER_BATCH. A position in another incarnation of the log, or none, reads from the start.
   * Ends when `signal` aborts. Any interruption is thrown: the reader asks for its position and reads again.
   * @throws LogRolledBackError
   */
  read(after: Position | undefined, signal: AbortSignal): AsyncIterable<LogBatch>
  /** The position of the last message. */
  end(): Promise<Position>
  /**
   * What a reader that stands at a position, or has read nothing, has still to read: nothing, where there is no log yet.
   * Rejected messages may be among it.
   */
  backlog(after: Position | undefined): Promise<Backlog>
}
