import { expect, test } from 'vitest'
import { hashViewer } from '../viewer-hash.ts'
import { decode, encode } from './checkpoint-bytes.test-suite.ts'
import { createCountState } from './count-state.ts'
import { addViewer, countViewers, type ViewerSet } from './viewer-set.ts'
import { createViewers } from './viewers.ts'

test('up to 1,000 viewers of an asset are counted exactly, each once', () => {
  const viewers = createViewers()
  expect(viewers.count('a')).toBe(0)
  for (let n = 1; n <= 1_000; n += 1) {
    for (const earlier of [n, 1, Math.ceil(n / 2), n]) viewers.add('a', `user-${earlier}`)
    expect(viewers.count('a')).toBe(n)
  }
  viewers.add('b', 'user-1')
  expect([viewers.count('a'), viewers.count('b')]).toEqual([1_000, 1])
})

test.each([
  ['numbers', (n: number) => `${n}`],
  ['addresses', (n: number) => `user-${n}@example.com`],
  [
    'UUIDs',
    (n: number) => `${(Math.imul(n, 0x9e3779b1) >>> 0).toString(16).padStart(8, '0')}-aaaa-4bbb-8ccc-0123456789ab`,
  ],
])(
  'above 1,000, the number of viewers is accurate to within 2 %% and never decreases, for ids that are %s',
  (_, toId) => {
    let set: ViewerSet | undefined
    let before = 0
    for (let n = 1; n <= 1_000_000; n += 1) {
      set = addViewer(set, hashViewer(toId(n)), false)
      if (n % 1_000 !== 0) continue
      const count = countViewers(set)
      expect(count).toBeGreaterThanOrEqual(before)
      expect(Math.abs(count / n - 1), `${n} viewers`).toBeLessThan(0.02)
      before = count
    }
    for (let n = 1; n <= 10_000; n += 1) set = addViewer(set, hashViewer(toId(n)), false)
    expect(countViewers(set)).toBe(before)
  },
)

test.each([1, 8, 9, 100, 1_000, 1_001, 5_000])(
  '%i viewers are restored from a checkpoint, without those that are added while it is encoded',
  async (size) => {
    const state = createCountState()
    for (let n = 0; n < size; n += 1) state.viewers.add('a', `user-${n}`)
    const count = state.viewers.count('a')
    const frozen = state.viewers.freeze()
    for (let n = 0; n < 100; n += 1) state.viewers.add('a', `new-${n}`)
    for (const shard of frozen.shards()) for (const set of shard.values()) expect(countViewers(set)).toBe(count)
    await frozen[Symbol.asyncDispose]()
    const later = state.viewers.count('a')
    expect(later).toBeGreaterThan(count)
    const { viewers } = await decode(await encode(state))
    expect(viewers.count('a')).toBe(later)
    for (const own of [viewers, state.viewers]) for (let n = 0; n < 2_000; n += 1) own.add('a', `user-${size - 1 + n}`)
    expect(viewers.count('a')).toBe(state.viewers.count('a'))
  },
)
