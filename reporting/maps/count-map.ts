import { MAX_TOP, type ViewCount } from '../../shared/contracts/view-counts.ts'

/**
 * The counts are spread over 2^8 Maps, because V8 limits a Map to 2^24 entries, and growing a large Map blocks the
 * event loop. With 50,000,000 ids, each Map has 200,000 entries.
 */
const SHARD_BITS = 8

export type CountMap = {
  /** The count of an id; undefined if it was never incremented. */
  get(id: string): number | undefined
  /** Adds one, and returns the new count. */
  increment(id: string): number
  /** The number of ids that have a count. */
  size(): number
  /** The `limit` ids with the highest counts, in descending order, then by id. `limit` is at most MAX_TOP. */
  top(limit: number): ViewCount[]
}

/** Counts by id, for tens of millions of ids. Counts only rise, so that the top list can be kept up to date. */
export function createCountMap(): CountMap {
  const shards: Map<string, number>[] = []
  const toIndex = createShardSelector()
  const top = createTop((id) => shardOf(id).get(id) ?? 0)
  let size = 0

  function shardOf(id: string): Map<string, number> {
    const index = toIndex(id)
    const shard = shards[index]
    if (shard) return shard
    const created = new Map<string, number>()
    shards[index] = created
    return created
  }

  return {
    get: (id) => shardOf(id).get(id),
    increment(id) {
      const shard = shardOf(id)
      const before = shard.get(id)
      if (before === undefined) size += 1
      const views = (before ?? 0) + 1
      shard.set(id, views)
      top.add(id, views)
      return views
    },
    size: () => size,
    top: (limit) => top.list().slice(0, limit),
  }
}

/** FNV-1a (https://datatracker.ietf.org/doc/html/rfc9923) with a random seed, so that no client can fill one shard. */
export function createShardSelector(): (id: string) => number {
  const seed = Math.floor(Math.random() * 2 ** 32)
  return (id) => {
    let hash = seed
    for (let index = 0; index < id.length; index += 1) hash = Math.imul(hash ^ id.charCodeAt(index), 0x01000193)
    return hash >>> (32 - SHARD_BITS)
  }
}

/**
 * Keeps candidates for the top list. From time to time, the candidates are cut to the first MAX_TOP. An id becomes a
 * candidate when it passes the last id of the previous cut. Counts only rise, so an id that was cut cannot return to
 * the top unless its own count rises.
 */
function createTop(countOf: (id: string) => number) {
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

  /** Returns true if the id ranks before the last candidate of the previous cut, and did not with one view less. */
  function ranksFirstNow(id: string, views: number): boolean {
    if (last === undefined) return views === 1
    // Compares numbers first, because comparing strings takes longer.
    return (views === last.views && id < last.id) || (views === last.views + 1 && id > last.id)
  }

  return {
    list,
    add(id: string, views: number) {
      if (!ranksFirstNow(id, views)) return
      candidates.add(id)
      if (candidates.size > 2 * MAX_TOP) list()
    },
  }
}

function byRank(a: ViewCount, b: ViewCount): number {
  return b.views - a.views || (a.id < b.id ? -1 : 1)
}
