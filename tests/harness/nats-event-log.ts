import { pino } from 'pino'
import type { EventLog } from '../../shared/event-log/event-log.ts'
import { createJetStreamEventLog } from '../../shared/event-log/jetstream-event-log.ts'
import { openNatsLink } from '../../shared/nats/link.ts'
import { withResources } from './resources.ts'

const TIMEOUT_MS = 5_000

/** Opens the log on a NATS server, and waits until it is connected. */
export async function openNatsEventLog(url: string): Promise<EventLog> {
  await using stack = new AsyncDisposableStack()
  const log = pino({ level: 'silent' })
  const nats = stack.use(openNatsLink({ servers: [url], name: 'test', log }))
  await nats.up(AbortSignal.timeout(TIMEOUT_MS))
  const eventLog = stack.use(createJetStreamEventLog({ nats, log }))
  return withResources(eventLog, stack)
}
