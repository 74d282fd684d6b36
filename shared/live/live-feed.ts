import type { Context } from 'hono'
import type { LiveEvent } from '../contracts/live.ts'
import type { AppEnv } from '../http/app-env.ts'
import { createEventStream } from '../http/event-stream.ts'
import { createPacer } from '../runtime/pacer.ts'
import type { Service } from '../runtime/service.ts'
import { createJournal, type NumberedEvent } from './journal.ts'

/** How long changes are kept for who comes again, and the source is followed though nobody listens. */
const KEEP_MS = 15_000

/** Begins to publish, a snapshot first, and returns what ends it. */
export type LiveSource = (publish: (event: LiveEvent) => void) => () => void

export type LiveFeed = {
  /**
   * Answers with the events of the source: what is new to a client that names the last one it saw, else a snapshot.
   * @throws UnavailableError
   */
  answer(c: Context<AppEnv>): Response
}

type Deps = Pick<Service, 'metrics' | 'stopping'> & {
  source: LiveSource
  keepMs?: number
  heartbeatMs?: number
  maxListeners?: number
}

/** Brings live counts to any number of listeners. The source is followed from the first one on, until the last has left. */
export function createLiveFeed({ source, keepMs = KEEP_MS, ...deps }: Deps): LiveFeed {
  const journal = createJournal(keepMs)
  const stream = createEventStream({ ...deps, onEmpty: () => (ending = setTimeout(end, keepMs).unref()) })
  // The source has its pace; this one is for the time that it takes to write to many.
  const pacer = createPacer(tell, 0)
  let unfollow: (() => void) | undefined
  let ending: NodeJS.Timeout | undefined
  deps.stopping.addEventListener('abort', end)

  function publish(event: LiveEvent): void {
    journal.take(event)
    if (stream.size() > 0) pacer.request()
    else journal.next()
  }

  function tell(): void {
    const next = journal.next()
    if (next) stream.send(encode(next))
  }

  function end(): void {
    clearTimeout(ending)
    pacer.stop()
    unfollow?.()
    unfollow = undefined
    journal.clear()
  }

  return {
    answer(c) {
      return stream.answer(c, () => {
        clearTimeout(ending)
        unfollow ??= source(publish)
        const first = journal.since(c.req.header('last-event-id'))
        return `retry: 1000\n\n${first ? encode(first) : ''}`
      })
    },
  }
}

function encode({ id, event, data }: NumberedEvent): string {
  return `id: ${id}\nevent: ${event}\ndata: ${JSON.stringify(data)}\n\n`
}
