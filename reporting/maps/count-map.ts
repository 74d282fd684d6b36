import type { RankedBy, ViewCount } from '../../shared/contracts/view-counts.ts'
import { createShardedMap, type FrozenMap } from './sharded-map.ts'
import { createTopList } from './top-list.ts'

export type CountMap = {
  /** Determines the shard of each id; see ShardedMap. */
  seed: number
  /** The views of an id; undefined if it has none. */
  get(id: string): number | undefined
  /** The qualified views of an id. */
  qualified(id: string): number
  /** Adds one view, and returns the new number of views. */
  increment(id: string, isQualified?: boolean): number
  /** Marks one more view of an id as qualified. */
  qualify(id: string): void
  /** Sets the views of an id that has none. */
  restore(id: string, views: number): void
  /** Sets how many views of an id are not qualified. Must be called before `restore`. */
  restoreNotQualified(id: string, views: number): void
  /** The number of ids that have views. */
  size(): number
  /**
   * The first `limit` ids by descending count, then by id. `limit` is at most MAX_TOP. A ranking by qualified views
   * omits ids without qualified views.
   */
  top(limit: number, of?: RankedBy): ViewCount[]
  /** Takes a snapshot in constant time, which is valid until disposed. Counting continues. */
  freeze(): FrozenCounts
}

/** The views of each id at the time of the freeze, and how many of them were not qualified. */
export type FrozenCounts = FrozenMap<number> & { notQualified: FrozenMap<number> }

/**
 * Counts by id, for tens of millions of ids. Counts only rise, so the top lists can be updated in place. Few ids
 * have views that are not qualified, so counting these views separately takes little memory.
 */
export function createCountMap(seed?: number): CountMap {
  const views = createShardedMap<number>(seed)
  const notQualified = createShardedMap<number>(views.seed)
  const qualified = (id: string) => (views.get(id) ?? 0) - (notQualified.get(id) ?? 0)
  const tops = { views: createTopList((id) => views.get(id) ?? 0), qualified: createTopList(qualified) }

  return {
    seed: views.seed,
    get: views.get,
    qualified,
    size: views.size,
    increment(id, isQualified = true) {
      const count = views.update(id, addOne)
      tops.views.increment(id, count)
      if (!isQualified) notQualified.update(id, addOne)
      else if (tops.qualified.mayRank(count)) tops.qualified.increment(id, count - (notQualified.get(id) ?? 0))
      return count
    },
    qualify(id) {
      notQualified.update(id, subtractOne)
      tops.qualified.increment(id, qualified(id))
    },
    restore(id, count) {
      views.restore(id, count)
      tops.views.restore(id, count)
      const qualified = count - (notQualified.get(id) ?? 0)
      if (qualified > 0) tops.qualified.restore(id, qualified)
    },
    restoreNotQualified: notQualified.restore,
    top: (limit, of = 'views') => tops[of].list().slice(0, limit),
    freeze() {
      const frozen = { views: views.freeze(), notQualified: notQualified.freeze() }
      return {
        ...frozen.views,
        notQualified: frozen.notQualified,
        async [Symbol.asyncDispose]() {
          await frozen.views[Symbol.asyncDispose]()
          await frozen.notQualified[Symbol.asyncDispose]()
        },
      }
    },
  }
}

function addOne(count = 0): number {
  return count + 1
}

function subtractOne(count = 0): number {
  return count - 1
}
