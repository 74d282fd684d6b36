import { constants, PerformanceObserver } from 'node:perf_hooks'
import { getHeapStatistics } from 'node:v8'
import { z } from 'zod'
import type { Play } from '../../shared/contracts/play.ts'
import { count } from '../../shared/runtime/settings.ts'
import { UnavailableError } from '../../shared/runtime/unavailable-error.ts'
import type { CountMap } from './count-map.ts'

/**
 * The default takes about 3 GB of heap, extrapolated from 1,000,000 ids. With 10^9 ids, each Map would hold a quarter
 * of the entries that V8 allows.
 */
export const maxUsers = count(
  50_000_000,
  'Maximum number of users, and of assets, with counts in memory; ignored if DATABASE_URL is set',
  1_000_000_000,
)

/** The share of the heap limit that live data may use. The rest is for requests and garbage. */
const MAX_HEAP_SHARE = 0.8
/** Node's default for the young generation, which the heap limit includes. */
const YOUNG_GENERATION_BYTES = 96 * 2 ** 20

const FullCollection = z.object({ detail: z.object({ kind: z.literal(constants.NODE_PERFORMANCE_GC_MAJOR) }) })

export type Capacity = {
  /** Maximum number of users, and maximum number of assets. */
  maxIds: number
  isHeapFull: () => boolean
}

export const unlimited: Capacity = { maxIds: Number.POSITIVE_INFINITY, isHeapFull: () => false }

/** There is no room for the new ids of a view or batch. The client may retry after an operator has made room. */
export class CountsFullError extends UnavailableError {
  override name = 'CountsFullError'
  override readonly status = 507
}

type Counts = Record<'asset' | 'user', Pick<CountMap, 'get' | 'size'>>

/**
 * Verifies that all ids in `plays` fit.
 * @throws CountsFullError
 */
export function assertRoom({ maxIds, isHeapFull }: Capacity, { asset, user }: Counts, plays: readonly Play[]): void {
  const isFull = isHeapFull()
  if (!isFull && Math.max(asset.size(), user.size()) + plays.length <= maxIds) return
  const assets = newIds(
    asset,
    plays.map(({ assetId }) => assetId),
  )
  const users = newIds(
    user,
    plays.map(({ userId }) => userId),
  )
  if (isFull && assets + users > 0) {
    throw new CountsFullError('the counts use nearly all of the heap: raise --max-old-space-size')
  }
  // A checkpoint may contain more ids than the maximum, if the maximum was lowered. Known ids are still counted.
  if (users > 0 && user.size() + users > maxIds) {
    throw new CountsFullError(`the counts are limited to ${maxIds} users: raise MAX_USERS`)
  }
  if (assets > 0 && asset.size() + assets > maxIds) {
    throw new CountsFullError(`the counts are limited to ${maxIds} assets: raise MAX_USERS`)
  }
}

function newIds(counts: Pick<CountMap, 'get'>, ids: string[]): number {
  return new Set(ids.filter((id) => counts.get(id) === undefined)).size
}

/** Tracks the heap in use after each full garbage collection. Before a collection, most of the heap may be garbage. */
export function watchHeap(): Disposable & Pick<Capacity, 'isHeapFull'> {
  const max = MAX_HEAP_SHARE * (getHeapStatistics().heap_size_limit - YOUNG_GENERATION_BYTES)
  let live = 0
  const observer = new PerformanceObserver((list) => {
    const isFull = list.getEntries().some((entry) => FullCollection.safeParse(entry).success)
    if (isFull) live = getHeapStatistics().used_heap_size
  })
  observer.observe({ entryTypes: ['gc'] })
  return {
    isHeapFull: () => live > max,
    [Symbol.dispose]: () => observer.disconnect(),
  }
}
