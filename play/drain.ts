import type { EventLog, Producer } from '../shared/event-log/event-log.ts'
import type { OutboxFile, PendingBatch } from './outbox-file.ts'

/** Timeout for an append from the outbox. It can be long, because no request waits for the append. */
const TIMEOUT_MS = 2_000

/** The `source` attribute of play's events. */
export const SOURCE = '/play'

type Deps = {
  eventLog: Pick<EventLog, 'producer'>
  outbox: Pick<OutboxFile, 'first' | 'drop'>
  signal: AbortSignal
  /** Called with each appended batch and the duration of the append in milliseconds, before the batch is deleted. */
  onAppended: (batch: PendingBatch, ms: number) => void
}

/**
 * Appends the views in the outbox to the log, in order, each with the producer that numbered it. After a failure, call
 * this again: a new producer with the same id reads from the log which views were stored, even if another process
 * appended them.
 */
export async function drainOutbox({ eventLog, outbox, signal, onAppended }: Deps): Promise<void> {
  let producer: Producer | undefined
  for (let batch = outbox.first(); batch; batch = outbox.first()) {
    producer = producer?.id === batch.producer ? producer : eventLog.producer(SOURCE, batch.producer)
    const startedAt = performance.now()
    await producer.append(batch.views, AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]))
    onAppended(batch, performance.now() - startedAt)
    outbox.drop(batch.through)
  }
}
