import type { Context } from 'hono'
import type { LiveChanges, LiveEvent, LiveSnapshot } from '../contracts/live.ts'
import type { AppEnv } from '../http/app-env.ts'
import { createThrottle } from '../runtime/throttle.ts'
import type { Service } from '../service/service.ts'
import { createEventStream } from './event-stream.ts'
import { createReplayBuffer, type NumberedEvent } from './replay-buffer.ts'

/** How long changes are buffered, and how long the source stays open after the last subscriber has disconnected. */
const KEEP_MS = 15_000

/** Starts publishing, beginning with a snapshot. Returns a function that stops publishing. */
export type LiveSource = (publish: (event: LiveEvent) => void) => () => void

/** `public` events have no user ids. */
type Visibility = 'operations' | 'public'

export type LiveFeed = {
  /**
   * Subscribes the requesting client. The first event contains the changes since `Last-Event-ID`, or a snapshot.
   * @throws UnavailableError
   */
  subscribe(c: Context<AppEnv>, visibility?: Visibility): Response
}

type Deps = Pick<Service, 'metrics' | 'stopping'> & {
  source: LiveSource
  keepMs?: number
  staleMs?: number
  heartbeatMs?: number
  maxSubscribers?: number
}

/**
 * Broadcasts live counts. Keeps the source open while there are subscribers, and for `keepMs` milliseconds after the
 * last one leaves.
 */
export function createLiveFeed({ source, keepMs = KEEP_MS, staleMs, ...deps }: Deps): LiveFeed {
  const buffer = createReplayBuffer(keepMs, staleMs)
  const stream = createEventStream<Visibility>({ ...deps, onEmpty: stopLater })
  // The source limits its own rate; this throttle bounds the CPU time spent writing to many subscribers.
  const throttle = createThrottle(broadcastNext, 0)
  let stopSource: (() => void) | undefined
  let stopTimer: NodeJS.Timeout | undefined
  deps.stopping.addEventListener('abort', stop)

  function publish(event: LiveEvent): void {
    buffer.add(event)
    if (stream.size() > 0) throttle.request()
    else buffer.next()
  }

  function broadcastNext(): void {
    const next = buffer.next()
    if (next) stream.broadcast((visibility) => encode(next, visibility))
  }

  function stopLater(): void {
    clearTimeout(stopTimer)
    stopTimer = setTimeout(stop, keepMs).unref()
  }

  function stop(): void {
    clearTimeout(stopTimer)
    throttle.cancel()
    stopSource?.()
    stopSource = undefined
    buffer.clear()
  }

  return {
    subscribe(c, visibility = 'operations') {
      return stream.subscribe(c, visibility, () => {
        clearTimeout(stopTimer)
        stopSource ??= source(publish)
        const first = buffer.since(c.req.header('last-event-id'))
        return `retry: 1000\n\n${first ? encode(first, visibility) : ''}`
      })
    },
  }
}

function encode(numbered: NumberedEvent, visibility: Visibility): string {
  const { id, event, data } = visibility === 'public' ? withoutUsers(numbered) : numbered
  return `id: ${id}\nevent: ${event}\ndata: ${JSON.stringify(data)}\n\n`
}

/** Removes user ids from an event, for subscribers that may not see them. */
function withoutUsers(numbered: NumberedEvent): NumberedEvent {
  if (numbered.event === 'snapshot') return { ...numbered, data: snapshotWithoutUsers(numbered.data) }
  return { ...numbered, data: changesWithoutUsers(numbered.data) }
}

function snapshotWithoutUsers(data: LiveSnapshot): LiveSnapshot {
  return { ...data, top: { ...data.top, users: [] } }
}

function changesWithoutUsers({ qualified, ...data }: LiveChanges): LiveChanges {
  return { ...data, users: {}, ...(qualified && { qualified: { ...qualified, users: {} } }) }
}
