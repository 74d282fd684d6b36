import { constants, PerformanceObserver } from 'node:perf_hooks'
import { getHeapStatistics } from 'node:v8'
import { z } from 'zod'
import type { Play } from '../../shared/contracts/play.ts'
import { count } from '../../shared/runtime/settings.ts'
import { UnavailableError } from '../../shared/runtime/unavailable-error.ts'
import type { CountMap } from './count-map.ts'

/** With ids of 12 characters, a user takes 40 to 55 bytes, so the default number of users takes up to 2.8 GB. */
export const maxUsers = count(
  50_000_000,
  'Maximum number of users, and of assets, with counts in memory; ignored if DATABASE_URL is set',
  1_000_000_000,
)

/** The share of the old generation that live data may use. The rest is for requests and garbage. */
const MAX_HEAP_SHARE = 0.8
const MIB = 2 ** 20
/**
 * The default maximum size of the young generation. On a machine with little memory, the young generation is at most a
 * sixteenth of the heap.
 */
const YOUNG_GENERATION_BYTES = 96 * MIB

const FullCollection = z.object({ detail: z.object({ kind: z.literal(constants.NODE_PERFORMANCE_GC_MAJOR) }) })

export type Capacity = {
  /** Maximum number of users, and maximum number of assets. */
  maxIds: number
  /** How many bytes the counts may take. The limit falls as the live data in V8's heap grows. */
  maxBytes: () => number
}

export const unlimited: Capacity = {
  maxIds: Number.POSITIVE_INFINITY,
  maxBytes: () => Number.POSITIVE_INFINITY,
}

/** There is no room for the new ids in a view or batch. The client may retry after an operator has made room. */
export class CountsFullError extends UnavailableError {
  override name = 'CountsFullError'
  override readonly status = 507
}

type Counts = Record<'asset' | 'user', Pick<CountMap, 'get' | 'size' | 'bytes'>>

/**
 * The counts are outside V8's heap, but count towards its limit, because operators derive a container's memory limit
 * from the heap limit.
 */
export function isHeapFull({ maxBytes }: Pick<Capacity, 'maxBytes'>, { asset, user }: Counts): boolean {
  return asset.bytes() + user.bytes() > maxBytes()
}

/**
 * Verifies that all ids in `plays` fit.
 * @throws CountsFullError
 */
export function assertRoom(capacity: Capacity, counts: Counts, plays: readonly Play[]): void {
  const { maxIds } = capacity
  const { asset, user } = counts
  const isFull = isHeapFull(capacity, counts)
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
export function watchHeap(): Disposable & Pick<Capacity, 'maxBytes'> {
  const max = MAX_HEAP_SHARE * oldGenerationBytes()
  let live = 0
  const observer = new PerformanceObserver((list) => {
    const isFull = list.getEntries().some((entry) => FullCollection.safeParse(entry).success)
    if (isFull) live = getHeapStatistics().used_heap_size
  })
  observer.observe({ entryTypes: ['gc'] })
  return {
    maxBytes: () => max - live,
    [Symbol.dispose]: () => observer.disconnect(),
  }
}

/**
 * The maximum size of the old generation, which contains all data that outlives a few collections. V8 reports only the
 * heap limit, which also includes the young generation.
 */
function oldGenerationBytes(): number {
  const options = [process.env.NODE_OPTIONS, ...process.execArgv].join(' ')
  const [, mebibytes] = [...options.matchAll(/--max[-_]old[-_]space[-_]size[ =]([1-9]\d*)/g)].at(-1) ?? []
  if (mebibytes !== undefined) return Number(mebibytes) * MIB
  const { heap_size_limit: limit } = getHeapStatistics()
  return limit - Math.min(YOUNG_GENERATION_BYTES, limit / 16)
}
