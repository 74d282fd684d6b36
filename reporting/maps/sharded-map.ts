import { createYielder } from '../../shared/runtime/yielder.ts'

/**
 * The values are spread over 2^8 Maps, because V8 limits a Map to 2^24 entries, and growing a large Map blocks the
 * event loop.
 */
const SHARD_BITS = 8

type ShardedMap<Value> = {
  /** Determines each id's shard. A map with the same seed can restore ids shard by shard, in half the time. */
  seed: number
  get(id: string): Value | undefined
  /**
   * Replaces an id's value, and returns the new value.
   * @param change receives the value, and true if the value is frozen and must not be modified in place
   */
  update(id: string, change: (value: Value | undefined, isFrozen: boolean) => Value): Value
  /** Sets the value of an id that has none. */
  restore(id: string, value: Value): void
  /** The number of ids that have a value. */
  size(): number
  /** Takes a snapshot in constant time. The snapshot is valid until it is disposed. Updates continue. */
  freeze(): FrozenMap<Value>
}

/** A snapshot of the values. */
export type FrozenMap<Value> = AsyncDisposable & {
  size: number
  /** The values, shard by shard. A shard may be read until the next one is requested. */
  shards(): Iterable<ReadonlyMap<string, Value>>
}

type Shard<Value> = {
  values: Map<string, Value>
  /** The values that have changed since the shard was frozen; undefined if it is not frozen. */
  changes: Map<string, Value> | undefined
}

/** Values by id, for millions of ids. */
export function createShardedMap<Value>(seed = createSeed()): ShardedMap<Value> {
  const shards: Shard<Value>[] = []
  const toIndex = createShardSelector(seed)
  let size = 0

  function shardOf(id: string): Shard<Value> {
    const index = toIndex(id)
    const shard = shards[index]
    if (shard) return shard
    const created = { values: new Map<string, Value>(), changes: undefined }
    shards[index] = created
    return created
  }

  return {
    seed,
    get(id) {
      const { values, changes } = shardOf(id)
      return changes?.get(id) ?? values.get(id)
    },
    update(id, change) {
      const { values, changes } = shardOf(id)
      const changed = changes?.get(id)
      const before = changed ?? values.get(id)
      if (before === undefined) size += 1
      const after = change(before, changes !== undefined && changed === undefined)
      const target = changes ?? values
      if (after !== before) target.set(id, after)
      return after
    },
    restore(id, value) {
      shardOf(id).values.set(id, value)
      size += 1
    },
    size: () => size,
    freeze: () => freeze(Object.values(shards), size),
  }
}

function freeze<Value>(shards: Shard<Value>[], size: number): FrozenMap<Value> {
  if (shards.some(({ changes }) => changes)) throw new Error('the values are already frozen')
  for (const shard of shards) shard.changes = new Map()
  return {
    size,
    *shards() {
      for (const shard of shards) {
        yield shard.values
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

function thaw<Value>(shard: Shard<Value>): void {
  for (const [id, value] of shard.changes ?? []) shard.values.set(id, value)
  shard.changes = undefined
}

function createSeed(): number {
  return Math.floor(Math.random() * 2 ** 32)
}

/**
 * FNV-1a (https://datatracker.ietf.org/doc/html/rfc9923) with a random seed, so that no client can choose ids that all
 * belong to one shard.
 */
export function createShardSelector(seed = createSeed()): (id: string) => number {
  return (id) => {
    let hash = seed
    for (let index = 0; index < id.length; index += 1) hash = Math.imul(hash ^ id.charCodeAt(index), 0x01000193)
    return hash >>> (32 - SHARD_BITS)
  }
}
