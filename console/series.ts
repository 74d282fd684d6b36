import { LRUCache } from 'lru-cache'
import { expectBody, type ServiceClient } from '../shared/client/service-client.ts'
import { Series, type SeriesQuery } from '../shared/contracts/series.ts'
import { Problem } from '../shared/contracts/status.ts'
import { UnavailableError } from '../shared/runtime/unavailable-error.ts'

/** Requests for a series within this time share one call, so the load does not grow with the number of open pages. */
const CACHE_MS = 1_000
/** Maximum number of different queries in the cache. */
const MAX_CACHED = 50
const TIMEOUT_MS = 1_000

/**
 * Reads the views over time. The result may be a second old. Returns a problem if reporting rejects the query.
 * @throws UnavailableError while reporting is down or behind the log
 */
export type ReadSeries = (query: SeriesQuery) => Promise<Series | Problem>

type Deps = {
  /** A separate client, because a failed or slow request on a shared client could eject an instance that plays use. */
  reporting: Pick<ServiceClient, 'get'>
}

export function createSeriesReader({ reporting }: Deps): ReadSeries {
  const cache = new LRUCache<string, Promise<Series | Problem>>({ max: MAX_CACHED, ttl: CACHE_MS })

  async function load(query: string): Promise<Series | Problem> {
    try {
      const response = await reporting.get(`/events/series?${query}`, { signal: AbortSignal.timeout(TIMEOUT_MS) })
      return response.status === 400 ? expectBody(response, 400, Problem) : expectBody(response, 200, Series)
    } catch (cause) {
      throw new UnavailableError('reporting did not return the series', { cause })
    }
  }

  return function read(query) {
    const params = Object.entries(query).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]]))
    const key = new URLSearchParams(params).toString()
    const cached = cache.get(key)
    if (cached) return cached
    const loading = load(key)
    cache.set(key, loading)
    return loading
  }
}
