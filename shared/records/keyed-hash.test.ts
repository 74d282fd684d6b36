import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createKeyedHash } from './keyed-hash.ts'

test('the hash is HalfSipHash-1-3', () => {
  // The hashes of the prefixes of 0, 1, 2, … that are 0 to 9 bytes long. Source:
  // https://github.com/torvalds/linux/blob/v6.6/lib/siphash_kunit.c
  const expected = [
    0x5814c896, 0xe7e864ca, 0xbc4b0e30, 0x01539939, 0x7e059ea6, 0x88e3d89b, 0xa0080b65, 0x9d38d9d6, 0x577999b1,
    0xc839caed,
  ]
  const hash = createKeyedHash(Buffer.from([0, 1, 2, 3, 4, 5, 6, 7]))
  const bytes = Uint8Array.from({ length: 64 }, (_, n) => n)
  expect(expected.map((_, length) => hash(bytes, 0, length))).toEqual(expected)
})

test('the hash depends only on the bytes in the range', () => {
  const hash = createKeyedHash()
  fc.assert(
    fc.property(fc.uint8Array(), fc.uint8Array(), fc.uint8Array(), (before, bytes, after) => {
      const start = before.length
      const joined = Buffer.concat([before, bytes, after])
      expect(hash(joined, start, start + bytes.length)).toBe(hash(bytes, 0, bytes.length))
    }),
  )
})

test('by default, the key is random, and it determines which ids have equal hashes', () => {
  const ids = Array.from({ length: 20_000 }, (_, n) => Buffer.from(`user-${n}`))
  const collisions = () => {
    const hash = createKeyedHash()
    // Compare only the first 20 bits, because too few ids have equal 32-bit hashes.
    const byHash = Map.groupBy(ids, (id) => hash(id, 0, id.length) >>> 12)
    return [...byHash.values()].filter(({ length }) => length > 1).map((group) => group.join())
  }
  const [first, second] = [new Set(collisions()), collisions()]
  expect(first.size).toBeGreaterThan(50)
  expect(second.filter((group) => first.has(group)).length).toBeLessThan(5)
})
