import { MAX_TOP, type ViewCount } from '../../shared/contracts/view-counts.ts'

type TopList = {
  /** The first MAX_TOP ids by descending count, then by id. */
  list(): ViewCount[]
  /** Returns false if an id with at most this count cannot enter the list, so its exact count is not needed. */
  mayRank(atMost: number): boolean
  /** Records an id's count after it has risen by one. */
  increment(id: string, views: number): void
  /** Sets the count of an id that has none. */
  restore(id: string, views: number): void
}

/**
 * Keeps candidates for the top list. From time to time, the candidates are cut to the first MAX_TOP. An id becomes a
 * candidate when it overtakes the last id of the previous cut. Counts only rise, so an id that was cut cannot return to
 * the top unless its own count rises.
 */
export function createTopList(countOf: (id: string) => number): TopList {
  let candidates = new Set<string>()
  let last: ViewCount | undefined

  function list(): ViewCount[] {
    const sorted = Array.from(candidates, (id) => ({ id, views: countOf(id) })).sort(byRank)
    if (sorted.length < MAX_TOP) return sorted
    const first = sorted.slice(0, MAX_TOP)
    candidates = new Set(first.map(({ id }) => id))
    last = first.at(-1)
    return first
  }

  function add(id: string): void {
    candidates.add(id)
    if (candidates.size > 2 * MAX_TOP) list()
  }

  /** Returns true if the id's last view moved it ahead of the last id of the previous cut. */
  function hasJustPassedCut(id: string, views: number): boolean {
    if (last === undefined) return views === 1
    // Compares numbers first, because comparing strings takes longer.
    return (views === last.views && id < last.id) || (views === last.views + 1 && id > last.id)
  }

  return {
    list,
    mayRank: (atMost) => last === undefined || atMost >= last.views,
    increment(id, views) {
      if (hasJustPassedCut(id, views)) add(id)
    },
    restore(id, views) {
      if (last === undefined || byRank({ id, views }, last) < 0) add(id)
    },
  }
}

function byRank(a: ViewCount, b: ViewCount): number {
  return b.views - a.views || (a.id < b.id ? -1 : 1)
}
