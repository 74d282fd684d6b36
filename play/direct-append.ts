import type { EventLog } from '../shared/event-log/event-log.ts'
import { SOURCE } from './drain.ts'
import { createSerials, firstSerial } from './serials.ts'
import type { Spooler } from './spooler.ts'

/** Appends views without an outbox: if the log does not acknowledge them, the append fails. */
export function createDirectAppend(eventLog: Pick<EventLog, 'producer'>): Pick<Spooler, 'append' | 'producer'> {
  const producer = eventLog.producer(SOURCE)
  const serials = createSerials()
  return {
    producer: () => producer.id,
    async append(unnumbered, signal) {
      const views = serials.number(unnumbered)
      await producer.append(views, signal)
      serials.record(views)
      return { place: 'log', producer: producer.id, serial: firstSerial(views) }
    },
  }
}
