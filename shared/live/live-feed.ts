import { randomBytes } from 'node:crypto'
import type { Context } from 'hono'
import { type LiveChanges, type LiveEvent, type LiveSnapshot, MAX_LIVE_IDS } from '../contracts/live.ts'
import type { AppEnv } from '../http/app-env.ts'
import { createEventStream } from '../http/event-stream.ts'
import type { Service } from '../runtime/service.ts'
import { fold, merge, withoutOldSeconds } from './fold.ts'

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

type Kept = { number: number; at: number; changes: LiveChanges }

/** Brings live counts to any number of listeners. The source is followed from the first one on, until the last has left. */
export function createLiveFeed({ source, keepMs = KEEP_MS, ...deps }: Deps): LiveFeed {
  const epoch = randomBytes(4).toString('hex')
  const stream = createEventStream({ ...deps, onEmpty })
  let number = 0
  let current: LiveSnapshot | undefined
  let kept: Kept[] = []
  let unfollow: (() => void) | undefined
  let ending: NodeJS.Timeout | undefined

  function publish(published: LiveEvent): void {
    number += 1
    take(published)
    stream.send(encode(published, number))
  }

  function take({ event, data }: LiveEvent): void {
    if (event === 'snapshot') {
      current = data
      kept = []
    } else {
      current = current && withoutOldSeconds(fold(current, data))
      const at = performance.now()
      kept = [...kept.filter((older) => at - older.at < keepMs), { number, at, changes: data }]
    }
  }

  function encode({ event, data }: LiveEvent, number: number): string {
    return `id: ${epoch}-${number}\nevent: ${event}\ndata: ${JSON.stringify(data)}\n\n`
  }

  function follow(): void {
    clearTimeout(ending)
    unfollow ??= source(publish)
  }

  function onEmpty(): void {
    ending = setTimeout(end, keepMs).unref()
  }

  function end(): void {
    clearTimeout(ending)
    unfollow?.()
    unfollow = undefined
    current = undefined
    kept = []
  }

  /** What a client does not know yet; nothing where that is nothing, or nothing is known. */
  function newTo(lastEventId: string | undefined): string {
    const seen = seenBy(lastEventId)
    if (seen === number || !current) return ''
    const missed = seen === undefined ? undefined : missedAfter(seen)
    if (missed) return encode({ event: 'changes', data: missed }, number)
    return encode({ event: 'snapshot', data: withoutOldSeconds(current) }, number)
  }

  function seenBy(lastEventId = ''): number | undefined {
    const [, its, seen] = /^([0-9a-f]+)-(\d{1,15})$/.exec(lastEventId) ?? []
    return its === epoch ? Number(seen) : undefined
  }

  function missedAfter(seen: number): LiveChanges | undefined {
    const missed = kept.filter((changes) => changes.number > seen)
    if (missed.length === 0 || missed.length !== number - seen) return undefined
    const changes = missed.map(({ changes }) => changes).reduce(merge)
    const ids = Object.keys(changes.assets).length + Object.keys(changes.users).length
    return ids > MAX_LIVE_IDS ? undefined : changes
  }

  deps.stopping.addEventListener('abort', end)
  return {
    answer(c) {
      return stream.answer(c, () => {
        follow()
        return `retry: 1000\n\n${newTo(c.req.header('last-event-id'))}`
      })
    },
  }
}
