import { LRUCache } from 'lru-cache'
import type { RequestContext } from '../shared/tracing/tracing.ts'

/** The result of a read: `stale` if the upstream is down, `absent` if the upstream has no such asset. */
export type Cached<Value> =
  | { state: 'fresh' | 'stale'; value: Value }
  | { state: 'absent' }
  | { state: 'failed'; error: unknown }

export type CacheOutcome = 'hit' | 'miss' | 'stale' | 'error'

/** A loading cache for one kind of data per asset. */
export type AssetCache<Value> = {
  get(id: string, request: RequestContext): Promise<Cached<Value>>
  /** Makes the next get() load the asset again. If that load fails, get() returns the old value as stale. */
  expire(id: string): void
  expireAll(): void
}

export type AssetCacheOptions<Value> = {
  /** Loads an asset from its upstream; undefined if the upstream does not have it. */
  load: (id: string, request: RequestContext) => Promise<Value | undefined>
  /** The maximum time that a value stays fresh, in milliseconds. */
  ttlMs: number
  /** Maximum number of assets. */
  max: number
  onRead: (outcome: CacheOutcome, request: RequestContext) => void
  /** Returns a number from 0 to 1. */
  random?: () => number
}

/** Each TTL is shortened by up to this fraction, at random, so that values loaded together do not expire together. */
const JITTER = 0.2

/** Minimum interval between load attempts for a stale value, so that the requests in a burst share one attempt. */
const RETRY_MS = 1

/** Creates a single-flight cache with stale-if-error: it serves expired values while the upstream is down. */
export function createAssetCache<Value>({
  load,
  ttlMs,
  max,
  onRead,
  random = Math.random,
}: AssetCacheOptions<Value>): AssetCache<Value> {
  let generation = 0
  const cache = new LRUCache<string, Cached<Value>, RequestContext>({
    max,
    ttl: Math.max(1, Math.round(ttlMs)),
    noDeleteOnStaleGet: true,
    // A value that is invalidated during its load is returned to the waiting requests but not cached.
    ignoreFetchAbort: true,
    async fetchMethod(id, last, { options, context: request }) {
      const startedIn = generation
      const loaded = await toCached(load(id, request))
      const isFresh = loaded.state === 'fresh' && generation === startedIn
      options.ttl = isFresh ? Math.max(1, Math.round(ttlMs * (1 - JITTER * random()))) : RETRY_MS
      if (loaded.state === 'failed' && last && 'value' in last) return { state: 'stale', value: last.value }
      return loaded
    },
  })

  function expire(id: string): void {
    const last = cache.peek(id, { allowStale: true })
    if (last) cache.set(id, last, { start: performance.now() - ttlMs - 1 })
    else cache.delete(id)
  }

  async function fetch(id: string, request: RequestContext): Promise<Cached<Value>> {
    const loaded = await cache.fetch(id, { context: request })
    if (!loaded) throw new Error('lru-cache aborted the load')
    // A failed load keeps the stale value. If the upstream no longer has the asset, the value is removed.
    const latest = cache.peek(id, { allowStale: loaded.state === 'failed' })
    // A load that began before an invalidation must not delete the result of a later load.
    if (!('value' in loaded) && (latest === undefined || latest === loaded)) cache.delete(id)
    onRead(toOutcome(loaded), request)
    return loaded
  }

  return {
    async get(id, request) {
      // A fast path for hits, because fetch() allocates even on a hit.
      const entry = cache.get(id)
      if (!entry) return fetch(id, request)
      onRead(entry.state === 'fresh' ? 'hit' : toOutcome(entry), request)
      return entry
    },
    expire,
    expireAll() {
      generation += 1
      for (const id of [...cache.keys()]) expire(id)
    },
  }
}

/** Turns a failure into a value, so that the aggregator can evaluate all reads once they have settled. */
export async function toCached<Value>(loading: Promise<Value | undefined>): Promise<Cached<Value>> {
  try {
    const value = await loading
    return value === undefined ? { state: 'absent' } : { state: 'fresh', value }
  } catch (error) {
    return { state: 'failed', error }
  }
}

function toOutcome({ state }: Cached<unknown>): CacheOutcome {
  if (state === 'stale') return 'stale'
  return state === 'failed' ? 'error' : 'miss'
}
