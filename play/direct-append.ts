import type { EventLog } from '../shared/event-log/event-log.ts'
import { SOURCE } from './drain.ts'
import type { Append } from './recorder.ts'
import { createSerials } from './serials.ts'

/** Appends views without an outbox: if the log does not acknowledge them, the append fails. */
export function createDirectAppend(eventLog: Pick<EventLog, 'producer'>): Append {
  const producer = eventLog.producer(SOURCE)
  const serials = createSerials()
  return async (unnumbered, signal) => {
    const views = serials.number(unnumbered)
    await producer.append(views, signal)
    serials.record(views)
    return 'log'
  }
}
