import { expect, test } from 'vitest'
import { createMapCountStore } from './map-count-store.ts'
import { createVerifiedStore } from './verified-store.ts'

const view = { id: '1', assetId: 'a', userId: 'u', at: '2026-11-20T21:00:00Z' }

test('the loaded counts are kept if the first batch continues their log', async () => {
  const { store, found } = await setUp()
  expect(await store.apply({ incarnation: 'log', after: 1, through: 2, views: [view] })).toBeDefined()
  expect((await store.counts('asset', 'a'))?.views).toBe(2)
  expect(await store.report({ incarnation: 'recreated' })).toEqual({ incarnation: 'log', sequence: 2 })
  expect(found).toEqual([])
})

test('the loaded counts are replaced once if the first batch or report is from another log', async () => {
  const { store, found } = await setUp()
  const leaving = { incarnation: 'log', sequence: 1 }
  const batch = { incarnation: 'other', after: 0, through: 1, views: [view] }
  expect(await Promise.all([store.report({ incarnation: 'other' }), store.apply({ ...batch, leaving })])).toEqual([
    undefined,
    undefined,
  ])
  expect(await store.apply(batch)).toBeDefined()
  expect((await store.counts('asset', 'a'))?.views).toBe(1)
  expect(found).toEqual(['other'])
})

async function setUp() {
  const loaded = createMapCountStore()
  await loaded.apply({ incarnation: 'log', after: 0, through: 1, views: [view] })
  const found: string[] = []
  const store = createVerifiedStore(loaded, 'log', async (incarnation) => {
    found.push(incarnation)
    return createMapCountStore()
  })
  return { store, found }
}
