import { LRUCache } from 'lru-cache'
import type { RequestContext } from '../shared/tracing/tracing.ts'

/** What was read; `stale` where its owner could not be asked whether it still holds. */
export type Held<Value> = { value: Value; stale: boolean }

/** Fresh from memory, as its owner says now, as last read while the owner is down, or not at all. */
export type ReadOutcome = 'hit' | 'miss' | 'stale' | 'error'

/** A source of values that are read once and then kept for a while. */
export type ReadOnce<Value> = {
  /**
   * What is kept of `id` if it is fresh, else what its owner says now, else what was last read.
   * Undefined where the owner has no such thing.
   * @throws what loading throws, where it never was read
   */
  read(id: string, request: RequestContext): Held<Value> | undefined | Promise<Held<Value> | undefined>
  /** The owner says that it has changed: it is read again when next asked for. */
  expire(id: string): void
  expireAll(): void
}

type Options<Value> = {
  load: (id: string, request: RequestContext) => Promise<Value | undefined>
  /** How long a value is fresh, in milliseconds. */
  ttlMs: number
  /** How many values are kept. */
  max: number
}

/** A source that asks the owner each time. */
export function createReadAlways<Value extends object>({ load }: Pick<Options<Value>, 'load'>): ReadOnce<Value> {
  return {
    async read(id, request) {
      const value = await load(id, request)
      return value && { value, stale: false }
    },
    expire() {},
    expireAll() {},
  }
}

/** The owner has no such thing: lru-cache takes an undefined for a failure where the load was overtaken by a change. */
class AbsentError extends Error {}

/** After a failed load every caller asks again, but those of one burst do so once. */
const RETRY_MS = 1

/** Many callers for one id share one load. What has expired is kept for the time when its owner is down. */
export function createReadOnce<Value extends object>({ load, ttlMs, max }: Options<Value>): ReadOnce<Value> {
  let gaps = 0
  const cache = new LRUCache<string, Held<Value>, RequestContext>({
    max,
    ttl: Math.max(1, Math.round(ttlMs)),
    noDeleteOnStaleGet: true,
    // A value that changes while it is being read goes to those who wait for it, and is not kept.
    ignoreFetchAbort: true,
    async fetchMethod(id, last, { options, context: request }) {
      const before = gaps
      let value: Value | undefined
      try {
        value = await load(id, request)
      } catch (error) {
        if (!last) throw error
        options.ttl = RETRY_MS
        return { value: last.value, stale: true }
      }
      if (!value) throw new AbsentError()
      if (gaps !== before) options.ttl = RETRY_MS
      return { value, stale: false }
    },
  })

  function expire(id: string): void {
    const last = cache.peek(id, { allowStale: true })
    if (last) cache.set(id, last, { start: performance.now() - ttlMs - 1 })
    else cache.delete(id)
  }

  async function fetch(id: string, request: RequestContext): Promise<Held<Value> | undefined> {
    try {
      return await cache.fetch(id, { context: request })
    } catch (error) {
      if (!(error instanceof AbsentError)) throw error
      cache.delete(id)
      return undefined
    }
  }

  return {
    // The plain look-up first: fetch() allocates a promise and a status even for a hit.
    read: (id, request) => cache.get(id) ?? fetch(id, request),
    expire,
    expireAll() {
      gaps += 1
      for (const id of [...cache.keys()]) expire(id)
    },
  }
}

/** Tells `observe` how each read came out. */
export function observeReads<Value>(source: ReadOnce<Value>, observe: (outcome: ReadOutcome) => void): ReadOnce<Value> {
  const ended = (held: Held<Value> | undefined, outcome: ReadOutcome) => {
    observe(held?.stale ? 'stale' : outcome)
    return held
  }
  return {
    ...source,
    read(id, request) {
      const reading = source.read(id, request)
      if (!(reading instanceof Promise)) return ended(reading, 'hit')
      return reading.then(
        (held) => ended(held, 'miss'),
        (error) => {
          observe('error')
          throw error
        },
      )
    },
  }
}
