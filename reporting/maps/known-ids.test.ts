import { expect, test } from 'vitest'
import { createKnownIds } from './known-ids.ts'

test('an id is new only once per source', () => {
  const ids = createKnownIds()
  expect([ids.add('/a', '1'), ids.add('/a', '1'), ids.add('/b', '1'), ids.add('/a1', ''), ids.add('/', 'a1')]).toEqual([
    true,
    false,
    true,
    true,
    true,
  ])
})

test('at least the guaranteed number of most recent ids is known, and at most twice that number', () => {
  const ids = createKnownIds({ max: 10 })
  const isNew = (id: number) => ids.add('/a', String(id))
  for (let id = 1; id <= 25; id += 1) {
    expect(isNew(id)).toBe(true)
    for (let recent = Math.max(1, id - 9); recent <= id; recent += 1) expect(isNew(recent)).toBe(false)
  }
  expect(isNew(5)).toBe(true)
})
