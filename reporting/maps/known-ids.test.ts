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

test('between one and two times the guaranteed number of recent ids are remembered', () => {
  const ids = createKnownIds({ max: 10 })
  const isNew = (id: number) => ids.add('/a', String(id))
  for (let id = 1; id <= 25; id += 1) {
    expect(isNew(id)).toBe(true)
    for (let recent = Math.max(1, id - 9); recent <= id; recent += 1) expect(isNew(recent)).toBe(false)
  }
  expect(isNew(5)).toBe(true)
})

test('frozen ids do not include later ones, even after a generation was dropped', () => {
  const ids = createKnownIds({ max: 2 })
  for (const id of ['1', '2', '3']) ids.add('/a', id)
  const { previous, current } = ids.freeze()
  for (const id of ['4', '5', '6', '7']) ids.add('/a', id)
  const keysOf = ({ keys, size }: typeof current) => new Set([...keys].slice(0, size))
  const restored = createKnownIds({ max: 2, previous: keysOf(previous), current: keysOf(current) })
  expect(['1', '2', '3'].map((id) => restored.add('/a', id))).toEqual([false, false, false])
  expect(restored.add('/a', '4')).toBe(true)
})
