import { expect, test } from 'vitest'
import { createMapCountStore } from './map-count-store.ts'

const at = '2026-11-20T21:00:00.000Z'
const view = (id: string) => ({ id, assetId: 'a', userId: 'u', at })

test('if a view and a dead letter have the same id, the view is explained, whichever was stored first', async () => {
  const store = createMapCountStore()
  await store.apply({
    incarnation: 'log',
    after: 0,
    through: 4,
    views: [view('counted later'), view('counted first')],
    messages: [
      { sequence: 2, views: 1, at },
      { sequence: 3, views: 1, at },
    ],
    skipped: [
      { sequence: 1, ids: ['counted later'] },
      { sequence: 4, ids: ['counted first', 'never counted'] },
    ],
  })
  expect(await store.explain('counted later')).toMatchObject({ state: 'counted', position: { sequence: 2 } })
  expect(await store.explain('counted first')).toMatchObject({ state: 'counted', position: { sequence: 3 } })
  expect(await store.explain('never counted')).toMatchObject({ state: 'rejected', reason: 'dead-letter' })
  expect(await store.audit()).toMatchObject({ views: 2, rejected: 3 })
})
