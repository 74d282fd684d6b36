import { randomBytes } from 'node:crypto'

const WORD_BYTES = 4
const FINAL_ROUNDS = 3

/** Hashes bytes to 32 bits. */
export type KeyedHash = (bytes: Uint8Array, start: number, end: number) => number

/**
 * Creates HalfSipHash-1-3 (https://github.com/veorq/SipHash), which Linux also uses for hash tables. Clients choose the
 * ids. If a client could find ids with equal hashes, each lookup would have to compare all of these ids. The secret key
 * prevents this attack. FNV-1a with a random initial value would not, because only 7 bits of that value affect which
 * ids have equal hashes.
 * @param key 8 bytes
 */
export function createKeyedHash(key: Buffer = randomBytes(8)): KeyedHash {
  const [k0, k1] = [key.readInt32LE(0), key.readInt32LE(4)]

  return (bytes, start, end) => {
    const words = (end - start) >>> 2
    let [v0, v1, v2, v3] = [k0, k1, 0x6c796765 ^ k0, 0x74656462 ^ k1]
    for (let n = 0; n <= words + FINAL_ROUNDS; n += 1) {
      const word = n < words ? readWord(bytes, start + WORD_BYTES * n) : n === words ? readTail(bytes, start, end) : 0
      if (n === words + 1) v2 ^= 0xff
      v3 ^= word
      v0 = (v0 + v1) | 0
      v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0
      v0 = (v0 << 16) | (v0 >>> 16)
      v2 = (v2 + v3) | 0
      v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2
      v0 = (v0 + v3) | 0
      v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0
      v2 = (v2 + v1) | 0
      v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2
      v2 = (v2 << 16) | (v2 >>> 16)
      v0 ^= word
    }
    return (v1 ^ v3) >>> 0
  }
}

function readWord(bytes: Uint8Array, at: number): number {
  return (bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8) | ((bytes[at + 2] ?? 0) << 16) | ((bytes[at + 3] ?? 0) << 24)
}

/** Returns the last word: the remaining bytes, which do not fill a word, and the total number of bytes modulo 256. */
function readTail(bytes: Uint8Array, start: number, end: number): number {
  let tail = (end - start) << 24
  const from = end - ((end - start) & 3)
  for (let at = from; at < end; at += 1) tail |= (bytes[at] ?? 0) << (8 * (at - from))
  return tail
}
