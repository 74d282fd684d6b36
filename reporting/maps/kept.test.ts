import { expect, test } from 'vitest'
import { createCountState } from './count-state.ts'
import { keysKept, verdictsKept } from './kept.ts'
import { createMapCountStore } from './map-count-store.ts'

const START = Date.parse('2026-11-20T21:00:00Z')

test('only the most recent verdicts are kept, and `knownSince` is the time of the oldest one', async () => {
  const { store, apply } = open({ verdicts: 2, keys: 2 })
  expect(await store.knownSince()).toBeUndefined()
  await apply('a')
  await apply('b')
  expect(await store.knownSince()).toEqual(new Date(START + 60_000))
  await apply('c')
  expect(await store.explain('a')).toBeUndefined()
  expect(await store.explain('b')).toMatchObject({ id: 'b', verdict: 'qualified' })
  expect(await store.knownSince()).toEqual(new Date(START + 120_000))
})

test('views are judged even if no verdicts are kept', async () => {
  const { store, apply } = open({ verdicts: 0, keys: 2 })
  for (const id of ['a', 'b', 'b']) await apply(id)
  expect(await store.explain('b')).toBeUndefined()
  expect(await store.knownSince()).toBeUndefined()
  expect(await store.audit()).toMatchObject({ views: 2, qualified: 2, retried: 1 })
})

test('a retry is recognized as long as its key is among the most recent ones', async () => {
  const { store, apply } = open({ verdicts: 9, keys: 2 })
  for (const id of ['a', 'b', 'a', 'c']) await apply(id)
  expect(await store.audit()).toMatchObject({ views: 3, retried: 1 })
  const lookup = { assets: [], users: [], events: ['a', 'b', 'c'] }
  expect(Object.keys((await store.lookUp(lookup)).events ?? {})).toEqual(['b', 'c'])
  await apply('a')
  expect(await store.audit()).toMatchObject({ views: 4, retried: 1 })
})

test('a lookup with details includes the qualified views and the viewers', async () => {
  const { store, apply } = open({ verdicts: 9, keys: 9 })
  await apply('x')
  await store.count({ assetId: 'a', userId: 'v' })
  expect(await store.lookUp({ assets: ['a', 'b'], users: ['u', 'v'], details: true, events: ['x', 'y'] })).toEqual({
    assets: { a: 2, b: 0 },
    users: { u: 1, v: 1 },
    qualified: { assets: { a: 1, b: 0 }, users: { u: 1, v: 0 } },
    viewers: { a: 1, b: 0 },
    events: { x: { assetId: 'a', userId: 'u', at: new Date(START + 60_000).toISOString() } },
  })
})

test('VERDICTS_KEPT may be 0, but KEYS_KEPT may not', () => {
  expect([verdictsKept.parse('0'), verdictsKept.parse(undefined), keysKept.parse(undefined)]).toEqual([0, 1e6, 1e6])
  for (const text of ['-1', '1.5', '100000001', 'all']) expect(verdictsKept.safeParse(text).success).toBe(false)
  expect(keysKept.safeParse('0').success).toBe(false)
})

/** A store, and a function that applies a keyed view one minute after the previous one. */
function open(kept: { verdicts: number; keys: number }) {
  const store = createMapCountStore({ state: createCountState({ kept }) })
  let sequence = 0
  return {
    store,
    apply(id: string) {
      const after = sequence
      sequence += 1
      const at = new Date(START + sequence * 60_000).toISOString()
      const views = [{ id, assetId: 'a', userId: 'u', at, keyed: true as const }]
      return store.apply({
        incarnation: 'log',
        after,
        through: sequence,
        views,
        messages: [{ sequence, views: 1, at }],
      })
    },
  }
}
