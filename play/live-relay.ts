import { createParser, type EventSourceMessage } from 'eventsource-parser'
import { LiveChanges, type LiveEvent, LiveSnapshot } from '../shared/contracts/live.ts'
import { type ServiceClient, UpstreamError } from '../shared/http/service-client.ts'
import type { LiveSource } from '../shared/live/live-feed.ts'
import type { Logger } from '../shared/runtime/log.ts'
import { pause } from '../shared/runtime/pause.ts'
import { createTeller } from '../shared/runtime/teller.ts'

const TRY_AGAIN_MS = 500
/** More than two of reporting's heartbeats: who is silent for so long hangs. */
const SILENCE_MS = 11_000

type Deps = { reporting: Pick<ServiceClient, 'stream'>; log: Logger; silenceMs?: number }

/** The live counts of reporting, for this process over one connection, which is made again whenever it ends. */
export function createLiveRelay({ reporting, log, silenceMs = SILENCE_MS }: Deps): LiveSource {
  const tell = createTeller(log, 'live counts stand still: reporting does not send them', 'live counts go on')

  return (publish) => {
    const closing = new AbortController()
    void follow(publish, closing.signal)
    return () => closing.abort()
  }

  async function follow(publish: (event: LiveEvent) => void, signal: AbortSignal): Promise<void> {
    let lastEventId: string | undefined
    const take = (message: EventSourceMessage) => {
      publish(toLiveEvent(message))
      lastEventId = message.id
      tell()
    }
    while (!signal.aborted) {
      try {
        const headers = { ...(lastEventId && { 'last-event-id': lastEventId }) }
        const body = await reporting.stream('/events/live', { signal, silenceMs, headers })
        // Where nothing is new a heartbeat says that it goes on.
        const parser = createParser({ onEvent: take, onComment: () => tell() })
        for await (const text of body.setEncoding('utf8')) parser.feed(text)
        throw new UpstreamError('the stream ended')
      } catch (error) {
        if (!signal.aborted) tell(error as Error)
      }
      await pause(TRY_AGAIN_MS, signal)
    }
  }
}

/** @throws UpstreamError */
function toLiveEvent({ event, data }: EventSourceMessage): LiveEvent {
  try {
    if (event === 'snapshot') return { event, data: LiveSnapshot.parse(JSON.parse(data)) }
    if (event === 'changes') return { event, data: LiveChanges.parse(JSON.parse(data)) }
  } catch (cause) {
    throw new UpstreamError('sent another event than agreed', { cause })
  }
  throw new UpstreamError(`sent an event of an unknown kind: ${event}`)
}
