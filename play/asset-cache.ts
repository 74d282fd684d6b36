import { LRUCache } from 'lru-cache'
import { type RequestContext, startNonRecordingSpan } from '../shared/tracing/tracing.ts'

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

/** A read in this last fraction of the TTL reloads the value in the background. */
const REFRESH_AHEAD = 0.1

/** Minimum interval between load attempts for a stale value, so that the requests in a burst share one attempt. */
const RETRY_MS = 1

/** `refreshAt`: the time in milliseconds, on the clock of `performance.now()`, from which a read reloads the value. */
type Entry<Value> = { cached: Cached<Value>; refreshAt: number }

/**
 * Creates a single-flight cache with refresh-ahead, so that reads of popular assets need not wait for a load, and with
 * stale-if-error: it serves expired values while the upstream is down.
 */
export function createAssetCache<Value>({
  load,
  ttlMs,
  max,
  onRead,
  random = Math.random,
}: AssetCacheOptions<Value>): AssetCache<Value> {
  let generation = 0
  const cache = new LRUCache<string, Entry<Value>, RequestContext>({
    max,
    ttl: Math.max(1, Math.round(ttlMs)),
    noDeleteOnStaleGet: true,
    // A value that is invalidated during its load is returned to the waiting requests but not cached.
    ignoreFetchAbort: true,
    async fetchMethod(id, last, { options, context: request }) {
      const startedIn = generation
      const cached = await toCached(load(id, request))
      if (cached.state === 'fresh' && generation === startedIn) {
        options.ttl = Math.max(1, Math.round(ttlMs * (1 - JITTER * random())))
        return { cached, refreshAt: performance.now() + options.ttl - ttlMs * REFRESH_AHEAD }
      }
      const remainingMs = cache.getRemainingTTL(id)
      options.ttl = RETRY_MS
      if (cached.state !== 'failed' || !last || !('value' in last.cached)) return neverRefreshed(cached)
      if (last.cached.state === 'stale' || remainingMs < 1) return neverRefreshed({ ...last.cached, state: 'stale' })
      options.ttl = Math.floor(remainingMs)
      return last
    },
  })

  function expire(id: string): void {
    const last = cache.peek(id, { allowStale: true })
    if (last) cache.set(id, last, { start: performance.now() - ttlMs - 1 })
    else cache.delete(id)
  }

  async function fetch(id: string, request: RequestContext, forceRefresh = false): Promise<Cached<Value> | undefined> {
    const loaded = await cache.fetch(id, { context: request, forceRefresh })
    if (!loaded) return undefined
    const { cached } = loaded
    // A failed load keeps the stale value. If the upstream no longer has the asset, the value is removed.
    const latest = cache.peek(id, { allowStale: cached.state === 'failed' })
    // A load that began before an invalidation must not delete the result of a later load.
    if (!('value' in cached) && (latest === undefined || latest === loaded)) cache.delete(id)
    return cached
  }

  function refresh(id: string, entry: Entry<Value>, { requestId }: RequestContext): void {
    // If the refresh fails, the next attempt is the load after the TTL.
    entry.refreshAt = Number.POSITIVE_INFINITY
    // The load is not part of the play's trace, because the play does not wait for it.
    void fetch(id, { requestId, span: startNonRecordingSpan() }, true)
  }

  return {
    async get(id, request) {
      // A fast path for hits, because fetch() allocates even on a hit.
      const entry = cache.get(id)
      if (entry && entry.refreshAt <= performance.now()) refresh(id, entry, request)
      const cached = entry ? entry.cached : await fetch(id, request)
      if (!cached) throw new Error('lru-cache aborted the load')
      onRead(entry && cached.state === 'fresh' ? 'hit' : toOutcome(cached), request)
      return cached
    },
    expire,
    expireAll() {
      generation += 1
      // Unlike keys(), dump() includes values that are being reloaded.
      for (const [id] of cache.dump()) expire(id)
    },
  }
}

function neverRefreshed<Value>(cached: Cached<Value>): Entry<Value> {
  return { cached, refreshAt: Number.POSITIVE_INFINITY }
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
