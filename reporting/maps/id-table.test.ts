import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createIdTable } from './id-table.ts'

const CHARACTERS = 'ABCXYZabcxyz0189._@~-'
const longId = fc.string({ unit: fc.constantFrom(...CHARACTERS), minLength: 1, maxLength: 128 })
const id = fc.oneof(fc.string({ unit: fc.constantFrom('a', 'b'), maxLength: 4 }), longId)

test('ids are numbered in the order in which they are added, and are read back unchanged', () => {
  fc.assert(
    fc.property(fc.array(id, { maxLength: 3_000, size: 'max' }), (ids) => {
      const table = createIdTable()
      const model = new Map<string, number>()
      for (const id of ids) {
        expect(table.find(id)).toBe(model.get(id))
        if (!model.has(id)) model.set(id, model.size)
        expect(table.add(id)).toBe(model.get(id))
      }
      expect(table.size()).toBe(model.size)
      const target = Buffer.alloc(129)
      for (const [id, number] of model) {
        expect(table.find(id)).toBe(number)
        expect(table.idOf(number)).toBe(id)
        expect(target.subarray(0, table.write(number, target, 0))).toEqual(Buffer.from([id.length, ...Buffer.from(id)]))
      }
    }),
    { numRuns: 30 },
  )
})

test('adding many ids at once gives the same numbers as adding them one by one', () => {
  fc.assert(
    fc.property(fc.array(fc.array(id), { maxLength: 30 }), (batches) => {
      const [table, expected] = [createIdTable(), createIdTable()]
      for (const batch of batches) expect(table.addAll(batch)).toEqual(batch.map(expected.add))
      expect(table.size()).toBe(expected.size())
    }),
  )
})

test('adding 400,000 ids at once numbers each of them, even if the table already contains half', () => {
  const table = createIdTable()
  // Among this many ids, some have the same hash.
  const ids = Array.from({ length: 400_000 }, (_, n) => `user-${n}`)
  const known = ids.filter((_, n) => n % 2 === 0)
  expect(table.addAll(known)).toEqual(known.map((_, n) => n))
  expect(table.addAll(ids)).toEqual(ids.map((_, n) => (n % 2 === 0 ? n / 2 : 200_000 + (n - 1) / 2)))
})

test('the table finds each of 100,000 ids, and no other', () => {
  const table = createIdTable()
  const ids = 100_000
  for (let n = 0; n < ids; n += 1) expect(table.add(`user-${n}`)).toBe(n)
  for (let n = 0; n < ids; n += 1) expect(table.find(`user-${n}`)).toBe(n)
  for (let n = 0; n < ids; n += 1) expect(table.find(`asset-${n}`)).toBeUndefined()
  expect(table.size()).toBe(ids)
})
