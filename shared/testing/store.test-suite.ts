import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Store } from '../stores/store.ts'

type Value = { title: string }

/**
 * The conformance suite for stores.
 * @param open returns a new, empty store
 */
export function describeStore(open: () => Promise<Store<Value>> | Store<Value>) {
  const one = { title: 'one' }
  const other = { title: 'other' }

  test('an entry can be set, replaced and deleted', async () => {
    const store = await open()
    expect(store.get('a')).toBeUndefined()
    await store.set('a', one)
    expect(store.get('a')).toEqual(one)
    await store.set('a', other)
    expect(store.get('a')).toEqual(other)
    expect(await store.delete('a')).toBe(true)
    expect(store.get('a')).toBeUndefined()
  })

  test('delete() resolves to true if the entry existed', async () => {
    const store = await open()
    expect(await store.delete('a')).toBe(false)
    await store.set('a', one)
    expect(await store.delete('a')).toBe(true)
    expect(await store.delete('a')).toBe(false)
  })

  test('every valid asset id is a distinct key', async () => {
    const store = await open()
    const ids = ['0', 'A', 'a', 'a.b_c@d~e-f', 'a..b.', 'constructor', 'toString', 'x'.repeat(128)]
    expect(ids.map((id) => store.get(id))).toEqual(ids.map(() => undefined))
    for (const id of ids) await store.set(id, { title: id })
    expect(store.list({ limit: 100 }).entries).toEqual(ids.toSorted().map((id) => [id, { title: id }]))
    expect(ids.map((id) => store.get(id)?.title)).toEqual(ids)
    expect(await store.delete('constructor')).toBe(true)
    expect(store.get('constructor')).toBeUndefined()
  })

  test('a list is ordered by id and reflects every write', async () => {
    const store = await open()
    const ids = () => store.list({ limit: 100 }).entries.map(([id]) => id)
    expect(store.list({ limit: 100 })).toEqual({ entries: [], next: undefined })
    for (const id of ['b', 'a10', 'a2', 'B', 'a']) await store.set(id, one)
    expect(ids()).toEqual(['B', 'a', 'a10', 'a2', 'b'])
    await store.set('a1', one)
    expect(ids()).toEqual(['B', 'a', 'a1', 'a10', 'a2', 'b'])
    await store.delete('b')
    expect(ids()).toEqual(['B', 'a', 'a1', 'a10', 'a2'])
    await store.set('a', other)
    expect(store.list({ limit: 2 }).entries).toEqual([
      ['B', one],
      ['a', other],
    ])
  })

  test('each page but the last points to the next one', async () => {
    const store = await open()
    for (const id of ['a', 'b', 'c']) await store.set(id, one)
    expect(store.list({ limit: 2 }).next).toBe('b')
    expect(store.list({ limit: 2, after: 'b' })).toEqual({ entries: [['c', one]], next: undefined })
    expect(store.list({ limit: 3 }).next).toBeUndefined()
    expect(store.list({ limit: 1, after: 'c' })).toEqual({ entries: [], next: undefined })
  })

  test('a list can continue after a deleted id', async () => {
    const store = await open()
    for (const id of ['a', 'b', 'c']) await store.set(id, one)
    await store.delete('b')
    expect(store.list({ limit: 9, after: 'b' }).entries).toEqual([['c', one]])
  })

  test('the pages of a list contain each entry once, for any writes and any page size', async () => {
    const id = fc.stringMatching(/^[aB][aB.]{0,3}$/)
    const writes = fc.array(fc.record({ id, title: fc.option(fc.string(), { nil: undefined }) }), {
      maxLength: 30,
      size: 'max',
    })
    await fc.assert(
      fc.asyncProperty(writes, fc.integer({ min: 1, max: 7 }), async (writes, limit) => {
        const store = await open()
        const expected = new Map<string, Value>()
        for (const { id, title } of writes) {
          if (title === undefined) expect(await store.delete(id)).toBe(expected.delete(id))
          else await store.set(id, { title })
          if (title !== undefined) expected.set(id, { title })
        }
        const listed: [string, Value][] = []
        for (let after: string | undefined, isLast = false; !isLast; ) {
          const { entries, next } = store.list({ limit, after })
          expect(entries.length).toBeLessThanOrEqual(limit)
          listed.push(...entries)
          after = next
          isLast = next === undefined
        }
        expect(listed).toEqual([...expected].sort(([one], [other]) => (one < other ? -1 : 1)))
      }),
      { numRuns: 30 },
    )
  })
}
