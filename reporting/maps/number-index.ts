/** The numbers are spread over 2^8 tables, because growing one large table would block the event loop. */
const SHARD_BITS = 8
const SHARDS = 2 ** SHARD_BITS
const FIRST_ENTRIES = 8
/** A slot has two elements: 1 + the number, and its hash. A free slot has zeros. */
const SLOT = 2

/** A hash table with linear probing, at most three quarters full. */
type Shard = { slots: Uint32Array; size: number }

/** Finds numbers by 32-bit hashes. Several numbers may have the same hash. */
type NumberIndex = {
  /** The first number with this hash that `isWanted` accepts; -1 if there is none. */
  find(hash: number, isWanted: (number: number) => boolean): number
  add(hash: number, number: number): void
  bytes(): number
}

export function createNumberIndex(): NumberIndex {
  const shards = Array.from({ length: SHARDS }, () => ({ slots: new Uint32Array(SLOT * FIRST_ENTRIES), size: 0 }))
  let bytes = SHARDS * SLOT * FIRST_ENTRIES * Uint32Array.BYTES_PER_ELEMENT

  function shardOf(hash: number): Shard {
    const shard = shards[hash >>> (32 - SHARD_BITS)]
    if (shard === undefined) throw new RangeError(`the hash ${hash} is not an unsigned 32-bit integer`)
    return shard
  }

  return {
    find(hash, isWanted) {
      const { slots } = shardOf(hash)
      for (let slot = firstSlot(slots, hash); ; slot = nextSlot(slots, slot)) {
        const found = (slots[slot] ?? 0) - 1
        if (found < 0 || (slots[slot + 1] === hash && isWanted(found))) return found
      }
    },
    add(hash, number) {
      const shard = shardOf(hash)
      if (shard.size >= 0.75 * (shard.slots.length / SLOT)) {
        bytes += shard.slots.byteLength
        grow(shard)
      }
      insert(shard, hash, number)
    },
    bytes: () => bytes,
  }
}

function grow(shard: Shard): void {
  const { slots } = shard
  shard.slots = new Uint32Array(2 * slots.length)
  shard.size = 0
  for (let slot = 0; slot < slots.length; slot += SLOT) {
    const [number = 0, hash = 0] = [slots[slot], slots[slot + 1]]
    if (number > 0) insert(shard, hash, number - 1)
  }
}

function insert(shard: Shard, hash: number, number: number): void {
  const { slots } = shard
  let slot = firstSlot(slots, hash)
  while (slots[slot] !== 0) slot = nextSlot(slots, slot)
  slots[slot] = number + 1
  slots[slot + 1] = hash
  shard.size += 1
}

function firstSlot(slots: Uint32Array, hash: number): number {
  return (SLOT * hash) & (slots.length - SLOT)
}

function nextSlot(slots: Uint32Array, slot: number): number {
  return (slot + SLOT) & (slots.length - SLOT)
}
