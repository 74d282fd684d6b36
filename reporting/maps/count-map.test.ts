import { expect, test } from 'vitest'
import { createCountMap } from './count-map.ts'

test("an id's count is the number of its increments", () => {
  const counts = createCountMap()
  expect(counts.get('a')).toBeUndefined()
  expect([counts.increment('a'), counts.increment('a'), counts.increment('constructor')]).toEqual([1, 2, 1])
  expect([counts.get('a'), counts.get('constructor'), counts.get('b')]).toEqual([2, 1, undefined])
  expect(counts.size()).toBe(2)
})

test.each([
  ['uniform', () => Math.floor(Math.random() * 6_000)],
  ['skewed', () => Math.floor(Math.random() ** 4 * 6_000)],
  ['rising', (step: number) => Math.floor(step / 10)],
  ['falling', (step: number) => 10_000 - Math.floor(step / 10)],
])('the top 1,000 of 6,000 ids are exact after every 5,000 increments, with %s ids', (_, draw) => {
  const counts = createCountMap()
  const model = new Map<string, number>()
  for (let step = 1; step <= 60_000; step += 1) {
    const id = `id-${draw(step)}`
    model.set(id, (model.get(id) ?? 0) + 1)
    expect(counts.increment(id)).toBe(model.get(id))
    if (step % 5_000 !== 0) continue
    const sorted = Array.from(model, ([id, views]) => ({ id, views })).sort(
      (a, b) => b.views - a.views || (a.id < b.id ? -1 : 1),
    )
    expect(counts.top(1_000)).toEqual(sorted.slice(0, 1_000))
    expect(counts.top(3)).toEqual(sorted.slice(0, 3))
  }
})

test('the top 1,000 of 6,000 ids by qualified views are exact, even after counts are restored', () => {
  const counts = createCountMap()
  const model = new Map<string, { views: number; notQualified: number }>()
  for (let step = 1; step <= 60_000; step += 1) {
    const id = `id-${Math.floor(Math.random() ** 2 * 6_000)}`
    const isQualified = Math.random() < 0.5
    const before = model.get(id) ?? { views: 0, notQualified: 0 }
    model.set(id, { views: before.views + 1, notQualified: before.notQualified + (isQualified ? 0 : 1) })
    counts.increment(id, isQualified)
    if (step % 10_000 !== 0) continue
    const restored = createCountMap()
    for (const [id, { notQualified }] of model) if (notQualified > 0) restored.restoreNotQualified(id, notQualified)
    for (const [id, { views }] of model) restored.restore(id, views)
    const sorted = Array.from(model, ([id, { views, notQualified }]) => ({ id, views: views - notQualified })).sort(
      (a, b) => b.views - a.views || (a.id < b.id ? -1 : 1),
    )
    for (const own of [counts, restored]) {
      expect(own.top(1_000, 'qualified')).toEqual(sorted.filter(({ views }) => views > 0).slice(0, 1_000))
      expect(own.qualified('id-0')).toBe(sorted.find(({ id }) => id === 'id-0')?.views ?? 0)
    }
  }
})
