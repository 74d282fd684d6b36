import { expect, test } from 'vitest'
import { type Capacity, CountsFullError } from './capacity.ts'
import { createCountState } from './count-state.ts'
import { createViewCounts } from './view-counts.ts'

const room = (maxIds: number): Capacity => ({ maxIds, maxBytes: () => Number.POSITIVE_INFINITY })

test('a batch whose new users exceed the maximum changes nothing, and may be retried', () => {
  const counts = createViewCounts(room(3))
  counts.apply(batch(0, ['a', 'u'], ['a', 'v']))
  expect(() => counts.apply(batch(1, ['a', 'u'], ['a', 'w'], ['a', 'x']))).toThrow(CountsFullError)
  expect(() => counts.apply(batch(1, ['a', 'u'], ['a', 'w'], ['a', 'x']))).toThrow('3 users: raise MAX_USERS')
  expect(counts.position()).toEqual({ incarnation: 's', sequence: 1 })
  expect(
    [counts.counts('asset', 'a'), counts.counts('user', 'u'), counts.counts('user', 'w')].map((of) => of?.views),
  ).toEqual([2, 1, undefined])
})

test('known users, and repeated plays by a new user, do not count towards the maximum', () => {
  const counts = createViewCounts(room(3))
  counts.apply(batch(0, ['a', 'u'], ['a', 'v']))
  expect(counts.apply(batch(1, ['a', 'u'], ['a', 'w'], ['a', 'w'], ['a', 'v']))).toBeDefined()
  expect(counts.size('user')).toBe(3)
})

test('assets have the same maximum', () => {
  const counts = createViewCounts(room(2))
  expect(() => counts.apply(batch(0, ['a', 'u'], ['b', 'u'], ['c', 'u']))).toThrow('2 assets: raise MAX_USERS')
  expect(counts.size('asset')).toBe(0)
})

test('views of known ids are counted even if a checkpoint contains more ids than the maximum', () => {
  const state = createCountState()
  for (const id of ['u', 'v']) state.counts.user.restore(id, 1)
  const counts = createViewCounts(room(1), state)
  expect(counts.count({ assetId: 'a', userId: 'v' })).toEqual({ userviews: 2, assetviews: 1 })
  expect(() => counts.count({ assetId: 'a', userId: 'w' })).toThrow(CountsFullError)
})

test('at the maximum, a direct count for a new user is rejected', () => {
  const counts = createViewCounts(room(1))
  counts.count({ assetId: 'a', userId: 'u' })
  expect(() => counts.count({ assetId: 'a', userId: 'v' })).toThrow(CountsFullError)
  expect(counts.count({ assetId: 'a', userId: 'u' })).toEqual({ userviews: 2, assetviews: 2 })
})

test('while the heap is full, only views of known ids are counted', () => {
  let maxBytes = Number.POSITIVE_INFINITY
  const counts = createViewCounts({ maxIds: 10, maxBytes: () => maxBytes })
  counts.apply(batch(0, ['a', 'u']))
  maxBytes = 10_000
  expect(counts.apply(batch(1, ['a', 'u']))).toBeDefined()
  expect(() => counts.apply(batch(2, ['a', 'v']))).toThrow('nearly all of the heap')
  maxBytes = 1_000_000
  expect(counts.apply(batch(2, ['a', 'v']))).toBeDefined()
})

function batch(after: number, ...plays: [assetId: string, userId: string][]) {
  const views = plays.map(([assetId, userId]) => ({ id: 'x', assetId, userId, at: '2026-11-20T21:00:00Z' }))
  return { incarnation: 's', after, through: after + 1, views }
}
