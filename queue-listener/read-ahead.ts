import type { LogPosition } from '../shared/contracts/position.ts'
import type { EventLog, LogBatch } from '../shared/event-log/event-log.ts'
import { sleep } from '../shared/runtime/sleep.ts'

/** Reading a batch blocks this process, so wait this long for the caller to send the previous batch first. */
const SEND_MS = 1

/**
 * Reads the log like `read`. If more messages are pending behind a batch, reads and prepares the next batch while the
 * caller handles this one, so that a replay uses two cores. At the end of the log, reads on demand, so that a batch has
 * all views that arrived while the previous one was handled.
 */
export async function* readAhead(
  { read }: Pick<EventLog, 'read'>,
  after: LogPosition | undefined,
  signal: AbortSignal,
  prepare: (batch: LogBatch) => void,
): AsyncGenerator<LogBatch> {
  const ended = new AbortController()
  const batches = read(after, AbortSignal.any([signal, ended.signal]))[Symbol.asyncIterator]()

  async function readNext() {
    await sleep(SEND_MS, ended.signal)
    const next = await batches.next()
    if (!next.done) prepare(next.value)
    return next
  }

  try {
    let ahead: Promise<IteratorResult<LogBatch>> | undefined
    for (;;) {
      const { done, value } = await (ahead ?? batches.next())
      if (done) return
      ahead = value.pending > 0 ? readNext() : undefined
      // Prevents an unhandled rejection. The failure is thrown if the caller requests that batch.
      ahead?.catch(() => undefined)
      yield value
    }
  } finally {
    ended.abort()
    await batches.return?.()
  }
}
