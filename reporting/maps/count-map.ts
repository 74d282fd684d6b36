import type { ViewCount } from '../../shared/contracts/view-counts.ts'
import { createYielder } from '../../shared/runtime/yielder.ts'
import { createTopList } from './top-list.ts'

/**
 * The counts are spread over 2^8 Maps, because V8 limits a Map to 2^24 entries, and growing a large Map blocks the
 * event loop. With 50,000,000 ids, each Map has 200,000 entries.
 */
const SHARD_BITS = 8

export type CountMap = {
  /** Determines the shard of each id. Restoring ids shard by shard takes half as long as in random order. */
  seed: number
  /** The count of an id; undefined if it was never incremented. */
  get(id: string): number | undefined
  /** Adds one, and returns the new count. */
  increment(id: string): number
  /** Sets the count of an id that has none. */
  restore(id: string, views: number): void
  /** The number of ids that have a count. */
  size(): number
  /** The `limit` ids with the highest counts, in descending order, then by id. `limit` is at most MAX_TOP. */
  top(limit: number): ViewCount[]
  /** Freezes the counts in constant time, until the result is disposed. Counting goes on meanwhile. */
  freeze(): FrozenCounts
}

/** The counts at the time at which they were frozen. */
export type FrozenCounts = AsyncDisposable & {
  size: number
  /** The counts, shard by shard. A shard may be read until the next one is requested. */
  shards(): Iterable<ReadonlyMap<string, number>>
}

type Shard = {
  counts: Map<string, number>
  /** While the shard is frozen, the counts that have changed since then. */
  changes: Map<string, number> | undefined
}

/** Counts by id, for tens of millions of ids. Counts only rise, so that the top list can be kept up to date. */
export function createCountMap(seed = createSeed()): CountMap {
  const shards: Shard[] = []
  const toIndex = createShardSelector(seed)
  const top = createTopList((id) => get(shardOf(id), id) ?? 0)
  let size = 0

  function shardOf(id: string): Shard {
    const index = toIndex(id)
    const shard = shards[index]
    if (shard) return shard
    const created = { counts: new Map(), changes: undefined }
    shards[index] = created
    return created
  }

  return {
    seed,
    get: (id) => get(shardOf(id), id),
    increment(id) {
      const shard = shardOf(id)
      const before = get(shard, id)
      if (before === undefined) size += 1
      const views = (before ?? 0) + 1
      const target = shard.changes ?? shard.counts
      target.set(id, views)
      top.increment(id, views)
      return views
    },
    restore(id, views) {
      shardOf(id).counts.set(id, views)
      size += 1
      top.restore(id, views)
    },
    size: () => size,
    top: (limit) => top.list().slice(0, limit),
    freeze: () => freeze(Object.values(shards), size),
  }
}

function get({ counts, changes }: Shard, id: string): number | undefined {
  return changes?.get(id) ?? counts.get(id)
}

function freeze(shards: Shard[], size: number): FrozenCounts {
  if (shards.some(({ changes }) => changes)) throw new Error('the counts are frozen already')
  for (const shard of shards) shard.changes = new Map()
  return {
    size,
    *shards() {
      for (const shard of shards) {
        yield shard.counts
        thaw(shard)
      }
    },
    async [Symbol.asyncDispose]() {
      const yieldIfDue = createYielder()
      for (const shard of shards) {
        thaw(shard)
        await yieldIfDue()
      }
    },
  }
}

function thaw(shard: Shard): void {
  for (const [id, views] of shard.changes ?? []) shard.counts.set(id, views)
  shard.changes = undefined
}

function createSeed(): number {
  return Math.floor(Math.random() * 2 ** 32)
}

/** FNV-1a (https://datatracker.ietf.org/doc/html/rfc9923) with a random seed, so that no client can fill one shard. */
export function createShardSelector(seed = createSeed()): (id: string) => number {
  return (id) => {
    let hash = seed
    for (let index = 0; index < id.length; index += 1) hash = Math.imul(hash ^ id.charCodeAt(index), 0x01000193)
    return hash >>> (32 - SHARD_BITS)
  }
}
