/**
 * Hashes a user id to a 53-bit integer. The in-memory store and Postgres distinguish an asset's viewers by this hash.
 * Among 1,000,000 viewers, the probability that two share a hash is 1 in 18,000.
 */
export function hashViewer(userId: string): number {
  let high = 0x811c9dc5
  let low = 0x9747b28c
  for (let index = 0; index < userId.length; index += 1) {
    const code = userId.charCodeAt(index)
    high = Math.imul(high ^ code, 0x01000193)
    low = Math.imul(low ^ code, 0x5bd1e995)
    low ^= low >>> 15
  }
  high = mix(high ^ low)
  low = mix(low ^ high)
  return (high >>> 11) * 2 ** 32 + (low >>> 0)
}

/** Spreads each bit over all 32 bits, with the constants of MurmurHash3's finalizer. */
function mix(hash: number): number {
  let mixed = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35)
  return mixed ^ (mixed >>> 16)
}
