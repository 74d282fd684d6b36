import { LRUCache } from 'lru-cache'

/** At most `count` requests in any burst, and `count` per `periodMs` on average. */
export type Rate = { count: number; periodMs: number }

export type Decision = {
  allowed: boolean
  /** How many more requests are allowed immediately. */
  remaining: number
  /** If refused, the time until one request is allowed; otherwise, until a burst of `count` is allowed again. */
  waitMs: number
}

/** Maximum number of keys. At about 100 bytes each, they take up to 10 MB. */
const MAX_KEYS = 100_000

/**
 * The generic cell rate algorithm (ITU-T I.371, annex A): each key has a theoretical arrival time (TAT), at which it
 * has its full allowance again. Time is in milliseconds times `count`, so that all values are integers and nothing is
 * rounded at the boundary.
 *
 * Beyond `maxKeys`, the least recently used key is evicted, and later starts again with a full allowance.
 */
export function createGcra({ count, periodMs }: Rate, maxKeys = MAX_KEYS): (key: string) => Decision {
  const tats = new LRUCache<string, number>({ max: maxKeys })
  return function take(key) {
    const now = Math.floor(performance.now()) * count
    const full = now + periodMs * count
    const tat = Math.max(tats.get(key) ?? 0, now)
    const allowed = tat + periodMs <= full
    const next = allowed ? tat + periodMs : tat
    if (allowed) tats.set(key, next)
    const waitMs = allowed ? (next - now) / count : (tat + periodMs - full) / count
    return { allowed, remaining: Math.floor((full - next) / periodMs), waitMs }
  }
}
