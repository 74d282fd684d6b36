import { expect, test } from 'vitest'
import { describeStore } from '../testing/store.test-suite.ts'
import { createMapStore } from './map-store.ts'

describeStore(() => createMapStore())

test('a map store starts with its initial entries', () => {
  const store = createMapStore([
    ['b', 1],
    ['a', 2],
  ])
  expect(store.get('b')).toBe(1)
  expect(store.list({ limit: 9 }).entries).toEqual([
    ['a', 2],
    ['b', 1],
  ])
})
