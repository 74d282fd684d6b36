import { expect, test } from 'vitest'
import { UnavailableError } from '../../shared/runtime/unavailable-error.ts'
import type { CountStore } from '../count-store.ts'
import { createLoadingStore } from './loading-store.ts'
import { createMapCountStore } from './map-count-store.ts'

const play = { assetId: 'a', userId: 'u' }
const view = { ...play, id: '1', at: '2026-11-20T21:00:00Z' }
const report = { incarnation: 'log', end: 1 }
const batch = { incarnation: 'log', after: 0, through: 1, views: [view] }

const calls: [string, (store: CountStore) => Promise<unknown>][] = [
  ['apply', (store) => store.apply(batch)],
  ['count', (store) => store.count(play)],
  ['counts', (store) => store.counts('asset', 'a')],
  ['lookUp', (store) => store.lookUp({ assets: ['a'], users: [] })],
  ['top', (store) => store.top('user', 'views', 1)],
  ['size', (store) => store.size('user')],
  ['position', (store) => store.position()],
  ['report', (store) => store.report(report)],
  ['lost', (store) => store.lost()],
  ['explain', (store) => store.explain('1')],
  ['knownSince', (store) => store.knownSince()],
  ['audit', (store) => store.audit()],
]

test.each(calls)('%s is unavailable until the store is loaded, and is then delegated to it', async (_, call) => {
  const { promise, resolve } = Promise.withResolvers<CountStore>()
  const store = createLoadingStore(promise)
  await expect(call(store)).rejects.toThrow(UnavailableError)
  expect(store.id()).toBeUndefined()
  const loaded = createMapCountStore()
  resolve(loaded)
  await store.loaded
  expect(store.id()).toBe(loaded.id())
  expect(await call(store)).toEqual(await call(createMapCountStore()))
})
