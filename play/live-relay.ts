import { createParser, type EventSourceMessage } from 'eventsource-parser'
import { type ServiceClient, UpstreamError } from '../shared/client/service-client.ts'
import { LiveChanges, type LiveEvent, LiveSnapshot } from '../shared/contracts/live.ts'
import type { LiveSource } from '../shared/live/live-feed.ts'
import type { Logger } from '../shared/runtime/log.ts'
import { retry } from '../shared/runtime/retry.ts'
import { createTransitionLog } from '../shared/runtime/transition-log.ts'

const RETRY_MS = 500

/** More than twice reporting's heartbeat interval. */
const IDLE_TIMEOUT_MS = 11_000

type Deps = { reporting: Pick<ServiceClient, 'stream'>; log: Logger; idleTimeoutMs?: number; retryMs?: number }

/** Relays reporting's live counts over a single connection, and reconnects whenever the connection ends. */
export function createLiveRelay({
  reporting,
  log,
  idleTimeoutMs = IDLE_TIMEOUT_MS,
  retryMs = RETRY_MS,
}: Deps): LiveSource {
  const report = createTransitionLog(log, {
    failing: 'live counts stalled: reporting is not sending events',
    recovered: 'live counts resumed',
  })

  return (publish) => {
    const stop = new AbortController()
    let lastEventId: string | undefined

    async function relay(): Promise<void> {
      const headers = { ...(lastEventId && { 'last-event-id': lastEventId }) }
      const body = await reporting.stream('/events/live', { signal: stop.signal, idleTimeoutMs, headers })
      const parser = createParser({
        onEvent(message) {
          publish(toLiveEvent(message))
          lastEventId = message.id
          report()
        },
        // A heartbeat shows that the stream is alive, even if nothing has changed.
        onComment: () => report(),
      })
      for await (const text of body.setEncoding('utf8')) parser.feed(text)
      throw new UpstreamError('the stream ended')
    }

    void retry(relay, {
      signal: stop.signal,
      initialMs: retryMs,
      maxMs: retryMs,
      onFailure: (error) => report(error),
    })
    return () => stop.abort()
  }
}

/** @throws UpstreamError */
function toLiveEvent({ event, data }: EventSourceMessage): LiveEvent {
  try {
    if (event === 'snapshot') return { event, data: LiveSnapshot.parse(JSON.parse(data)) }
    if (event === 'changes') return { event, data: LiveChanges.parse(JSON.parse(data)) }
  } catch (cause) {
    throw new UpstreamError('sent an invalid event', { cause })
  }
  throw new UpstreamError(`sent an event of unknown type: ${event}`)
}
