/** The standard error is 0.65 % (0.83 / sqrt(2^14)). */
const REGISTER_BITS = 14
export const REGISTERS = 2 ** REGISTER_BITS
/** The numbers of high and low bits in a hash that do not select the register. */
const HIGH_BITS = 21
const LOW_BITS = 32 - REGISTER_BITS
/** For each rank, the probability that a hash has a larger rank. A lookup is faster than computing the power. */
const CHANCES = Float64Array.from({ length: HIGH_BITS + LOW_BITS + 2 }, (_, rank) => 2 ** -rank)

/**
 * A HyperLogLog sketch. It estimates the number of distinct hashes with the historic inverse probability estimator,
 * which needs no corrections and never decreases: each change to a register adds the inverse of its probability (Ting,
 * "Streamed approximate counting of distinct elements", KDD 2014).
 */
export type Sketch = {
  registers: Uint8Array
  /** The estimated number of distinct hashes. */
  estimate: number
  /** The probability that the next new hash changes a register. */
  chance: number
}

/** Creates a sketch of hashes. They must be distinct, because their number is the initial estimate. */
export function createSketch(hashes: Iterable<number>): Sketch {
  const sketch = { registers: new Uint8Array(REGISTERS), estimate: 0, chance: 1 }
  let size = 0
  for (const hash of hashes) {
    addHash(sketch, hash)
    size += 1
  }
  return { ...sketch, estimate: size }
}

export function restoreSketch(registers: Uint8Array, estimate: number): Sketch {
  let sum = 0
  for (const rank of registers) sum += CHANCES[rank] ?? 0
  return { registers, estimate, chance: sum / REGISTERS }
}

/** Adds a 53-bit hash to the sketch. */
export function addHash(sketch: Sketch, hash: number): void {
  const index = hash & (REGISTERS - 1)
  const rank = rankOf(hash)
  const before = sketch.registers[index] ?? 0
  if (rank <= before) return
  sketch.registers[index] = rank
  sketch.estimate += 1 / sketch.chance
  sketch.chance += ((CHANCES[rank] ?? 0) - (CHANCES[before] ?? 0)) / REGISTERS
}

/** Returns true if the hash would change the sketch. */
export function changesSketch({ registers }: Sketch, hash: number): boolean {
  return rankOf(hash) > (registers[hash & (REGISTERS - 1)] ?? 0)
}

/** The position of the first 1 among the 39 bits that do not select the register: 1 to 40. */
function rankOf(hash: number): number {
  const high = Math.floor(hash / 2 ** 32)
  if (high !== 0) return Math.clz32(high) - (32 - HIGH_BITS) + 1
  const low = (hash >>> 0) >>> REGISTER_BITS
  return HIGH_BITS + Math.clz32(low) - (32 - LOW_BITS) + 1
}
