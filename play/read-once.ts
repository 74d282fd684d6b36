import { LRUCache } from 'lru-cache'

/** What was read; `stale` where its owner could not be asked whether it still holds. */
export type Held<Value> = { value: Value; stale: boolean }

/** A source of values that are read once and then kept for a while. */
export type ReadOnce<Value> = {
  /**
   * What is kept of `id` if it is fresh, else what its owner says now, else what was last read.
   * Undefined where the owner has no such thing.
   * @throws what loading throws, where it never was read
   */
  read(id: string, requestId: string): Held<Value> | undefined | Promise<Held<Value> | undefined>
  /** The owner says that it has changed: it is read again when next asked for. */
  expire(id: string): void
  expireAll(): void
}

type Options<Value> = {
  load: (id: string, requestId: string) => Promise<Value | undefined>
  /** How long a value is fresh, in milliseconds. */
  ttlMs: number
  /** How many values are kept. */
  max: number
}

/** After a failed load every caller asks again, but those of one burst do so once. */
const RETRY_MS = 1

/** Many callers for one id share one load. What has expired is kept for the time when its owner is down. */
export function createReadOnce<Value extends object>({ load, ttlMs, max }: Options<Value>): ReadOnce<Value> {
  const cache = new LRUCache<string, Held<Value>, string>({
    max,
    ttl: ttlMs,
    noDeleteOnStaleGet: true,
    // A value that changes while it is being read goes to those who wait for it, and is not kept.
    ignoreFetchAbort: true,
    async fetchMethod(id, last, { options, context: requestId }) {
      try {
        const value = await load(id, requestId)
        return value && { value, stale: false }
      } catch (error) {
        if (!last) throw error
        options.ttl = RETRY_MS
        return { value: last.value, stale: true }
      }
    },
  })

  function expire(id: string): void {
    const last = cache.peek(id, { allowStale: true })
    if (last) cache.set(id, last, { start: performance.now() - ttlMs - 1 })
    else cache.delete(id)
  }

  async function fetch(id: string, requestId: string): Promise<Held<Value> | undefined> {
    const held = await cache.fetch(id, { context: requestId })
    // lru-cache would keep the last value; but what its owner no longer has must not come back when the owner is down.
    if (!held) cache.delete(id)
    return held
  }

  return {
    // The plain look-up first: fetch() allocates a promise and a status even for a hit.
    read: (id, requestId) => cache.get(id) ?? fetch(id, requestId),
    expire,
    expireAll() {
      for (const id of [...cache.keys()]) expire(id)
    },
  }
}
