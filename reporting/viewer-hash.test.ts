import { expect, test } from 'vitest'
import { hashViewer } from './viewer-hash.ts'

test.each([
  ['that are numbers', (n: number) => String(n)],
  ['with a common prefix', (n: number) => `user-${n}`],
  ['with a common suffix', (n: number) => `${n}@example.com`],
])('user ids %s have distinct, evenly spread hashes', (_, toId) => {
  const hashes = Array.from({ length: 100_000 }, (_, n) => hashViewer(toId(n)))
  expect(new Set(hashes).size).toBe(hashes.length)
  expect(hashes.every(Number.isSafeInteger)).toBe(true)
  // If the hashes are evenly spread, their mean is close to the middle of the range.
  const mean = hashes.reduce((sum, hash) => sum + hash / hashes.length, 0)
  expect(mean / 2 ** 52).toBeCloseTo(1, 2)
})
