import type { EventLog } from '../shared/event-log/event-log.ts'
import { SOURCE } from './drain.ts'
import type { Append } from './recorder.ts'
import { createSerials } from './serials.ts'

/** Appends without an outbox: a view that the log does not acknowledge is not recorded. */
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
