import type { RankedBy, ViewCount } from '../../shared/contracts/view-counts.ts'
import { createCounters, type FrozenCounters } from './counters.ts'
import { createIdTable, type IdTable } from './id-table.ts'
import { createTopList } from './top-list.ts'

export type CountMap = {
  /** An id's views; undefined if it has none. */
  get(id: string): number | undefined
  /** An id's qualified views. */
  qualified(id: string): number
  /** Adds one view, and returns the new number of views. */
  increment(id: string, isQualified?: boolean): number
  /** Like `increment`, but faster for many ids. */
  incrementAll(ids: readonly string[], isQualified: (index: number) => boolean): void
  /** Marks one more view of an id as qualified. */
  qualify(id: string): void
  /** Sets the views of an id that has none. */
  restore(id: string, views: number): void
  /** Sets how many of an id's views are not qualified. Call it before `restore`. */
  restoreNotQualified(id: string, views: number): void
  /** The number of ids that have views. */
  size(): number
  /** The size of the ids and counts in memory, in bytes. */
  bytes(): number
  /**
   * The first `limit` ids by descending count, then by id. `limit` is at most MAX_TOP. A ranking by qualified views
   * omits ids without qualified views.
   */
  top(limit: number, of?: RankedBy): ViewCount[]
  /** Takes a snapshot without copying counts. Counting may continue. */
  freeze(): FrozenCountMap
}

/** A snapshot of the first `size` ids, with their views and how many of those views were not qualified. */
export type FrozenCountMap = {
  size: number
  ids: Pick<IdTable, 'idOf' | 'write'>
  views: FrozenCounters
  notQualified: FrozenCounters
}

/** Counts by id, for tens of millions of ids. Counts only rise, so the top lists can be updated in place. */
export function createCountMap(): CountMap {
  const ids = createIdTable()
  const views = createCounters()
  const notQualified = createCounters()

  function get(id: string): number | undefined {
    const number = ids.find(id)
    return number === undefined ? undefined : views.get(number)
  }

  function qualified(id: string): number {
    const number = ids.find(id)
    return number === undefined ? 0 : qualifiedOf(number)
  }

  const qualifiedOf = (number: number) => views.get(number) - notQualified.get(number)
  const tops = { views: createTopList((id) => get(id) ?? 0), qualified: createTopList(qualified) }

  /** Adds one view of the id with this number, and returns the new number of views. */
  function add(number: number, id: string, isQualified: boolean): number {
    const count = views.add(number, 1)
    tops.views.increment(id, count)
    if (!isQualified) notQualified.add(number, 1)
    else if (tops.qualified.mayRank(count)) tops.qualified.increment(id, qualifiedOf(number))
    return count
  }

  return {
    get,
    qualified,
    size: ids.size,
    bytes: () => ids.bytes() + views.bytes() + notQualified.bytes(),
    increment: (id, isQualified = true) => add(ids.add(id), id, isQualified),
    incrementAll(all, isQualified) {
      const numbers = ids.addAll(all)
      for (let n = 0; n < all.length; n += 1) add(numbers[n] ?? 0, all[n] ?? '', isQualified(n))
    },
    qualify(id) {
      notQualified.add(ids.add(id), -1)
      tops.qualified.increment(id, qualified(id))
    },
    restore(id, count) {
      const number = ids.add(id)
      views.add(number, count)
      tops.views.restore(id, count)
      const qualified = qualifiedOf(number)
      if (qualified > 0) tops.qualified.restore(id, qualified)
    },
    restoreNotQualified: (id, count) => void notQualified.add(ids.add(id), count),
    top: (limit, of = 'views') => tops[of].list().slice(0, limit),
    freeze: () => ({ size: ids.size(), ids, views: views.freeze(), notQualified: notQualified.freeze() }),
  }
}
