import type { LogPosition } from '../contracts/position.ts'
import { openJetStreamManager } from '../nats/jetstream.ts'
import type { NatsLink } from '../nats/link.ts'
import { raceAbort } from '../runtime/race-abort.ts'
import type { Search, SearchOptions } from './event-log.ts'
import { scan } from './scan.ts'
import { createSearch, toSearchRange } from './search.ts'
import { findStream, producerOf, storedAt, VIEWS } from './stream.ts'
import { extentOf } from './stream-status.ts'

/** Implements EventLog's `find`. Unlike a reader, it neither creates the stream nor stores dead letters. */
export function findInStream(
  nats: Pick<NatsLink, 'connection' | 'down'>,
  id: string,
  after: LogPosition | undefined,
  { maxMessages, signal }: SearchOptions,
): Promise<Search> {
  async function find(): Promise<Search> {
    const jsm = await openJetStreamManager(nats)
    const stream = await findStream(jsm)
    if (!stream) return { found: undefined, isComplete: true }
    const extent = extentOf(stream)
    const { from, through, isComplete } = toSearchRange(after, extent, maxMessages)
    const search = createSearch(id, extent.incarnation)
    if (from > through) return search.result(isComplete)
    for await (const message of scan(nats, jsm, VIEWS, from, { withBodies: true })) {
      signal.throwIfAborted()
      const { seq: sequence, data, subject } = message
      const isFound = search.add({ sequence, data, storedAt: storedAt(message), producer: producerOf(subject) })
      if (isFound || sequence >= through) break
    }
    return search.result(isComplete)
  }
  return raceAbort(find(), signal, nats.down())
}
