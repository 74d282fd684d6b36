import type { LogPosition } from '../shared/contracts/position.ts'
import type { EventLog, LogBatch } from '../shared/event-log/event-log.ts'

/**
 * Reads the log like `read`. If more messages are pending behind a batch, reads the next batch while the caller handles
 * this one, so that a replay uses two processors. At the end of the log, reads on demand: a batch then has all views that
 * arrive while the one before it is handled.
 */
export async function* readAhead(
  { read }: Pick<EventLog, 'read'>,
  after: LogPosition | undefined,
  signal: AbortSignal,
): AsyncGenerator<LogBatch> {
  const ended = new AbortController()
  const batches = read(after, AbortSignal.any([signal, ended.signal]))[Symbol.asyncIterator]()
  try {
    let ahead: Promise<IteratorResult<LogBatch>> | undefined
    for (;;) {
      const { done, value } = await (ahead ?? batches.next())
      if (done) return
      ahead = value.pending > 0 ? batches.next() : undefined
      // A failure is thrown when the caller requests this batch, if it ever does.
      ahead?.catch(() => undefined)
      yield value
    }
  } finally {
    ended.abort()
    await batches.return?.()
  }
}
