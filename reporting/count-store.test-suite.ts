import { expect, test } from 'vitest'
import { batch, view } from './batches.test-suite.ts'
import { describeDeduplication } from './deduplication.test-suite.ts'
import { describeExactlyOnce } from './exactly-once.test-suite.ts'
import { describeIncarnations } from './incarnation.test-suite.ts'
import { describeLiveCounts } from './live-counts.test-suite.ts'
import { describeReports } from './log-report.test-suite.ts'
import type { Store } from './opened-store.test-suite.ts'
import { describeTopList } from './top-list.test-suite.ts'

/** The conformance suite for count stores. */
export function describeCountStore(store: Store) {
  const { open, isPersistent } = store
  describeExactlyOnce(store)
  describeDeduplication(store)
  describeIncarnations(store)
  describeTopList(store)
  describeReports(store)
  describeLiveCounts(store)

  test('counting a view returns the updated counts for its user and its asset', async () => {
    await using opened = await open()
    await opened.counts.count({ assetId: 'a', userId: 'u' })
    expect(await opened.counts.count({ assetId: 'a', userId: 'v' })).toEqual({ userviews: 1, assetviews: 2 })
  })

  test('a lookup returns every id once, with 0 for ids without views', async () => {
    await using opened = await open()
    await opened.counts.apply(batch('log', 0, 1, ['null', 'a', 'a', 'NULL', 'constructor']))
    expect(await opened.counts.lookUp({ assets: ['a', 'null', 'x', 'constructor'], users: ['u', 'a'] })).toEqual({
      assets: { a: 2, null: 1, x: 0, constructor: 1 },
      users: { u: 5, a: 0 },
    })
    expect(await opened.counts.listViews({ assets: ['a', 'null', 'x', 'a'], users: ['u', 'a'] })).toEqual({
      assets: [2, 1, 0, 2],
      users: [5, 0],
    })
    expect(await opened.counts.lookUp({ assets: [], users: [] })).toEqual({ assets: {}, users: {} })
    expect((await opened.counts.counts('asset', 'x'))?.views).toBeUndefined()
    expect([await opened.counts.size('asset'), await opened.counts.size('user')]).toEqual([4, 1])
  })

  test('a lookup returns the last serial of a producer that its counts include', async () => {
    await using opened = await open()
    const serialOf = async (producer?: string) =>
      (await opened.counts.listViews({ assets: ['a'], users: [] }, producer)).serial
    expect(await serialOf('p')).toBeUndefined()
    const views = [1, 2].map((serial) => ({ ...view('a'), id: `v${serial}`, producer: 'p', serial }))
    await opened.counts.apply({ ...batch('log', 0, 1, []), views })
    expect([await serialOf('p'), await serialOf('other'), await serialOf()]).toEqual([2, undefined, undefined])
    await opened.counts.apply({
      ...batch('log', 1, 2, []),
      views: [{ ...view('a'), id: 'v3', producer: 'p', serial: 3 }],
    })
    expect(await opened.counts.listViews({ assets: ['a'], users: [] }, 'p')).toEqual({
      assets: [3],
      users: [],
      serial: 3,
    })
  })

  test(`the counts ${isPersistent ? 'survive' : 'do not survive'} a restart`, async () => {
    await using opened = await open()
    const views = [{ ...view('a'), producer: 'p', serial: 2 }]
    await opened.counts.apply({ ...batch('log', 0, 1, []), views })
    await using restarted = await opened.restart()
    const { counts } = restarted
    expect((await counts.counts('asset', 'a'))?.views).toBe(isPersistent ? 1 : undefined)
    expect(await counts.position()).toEqual(isPersistent ? { incarnation: 'log', sequence: 1 } : undefined)
    expect((await counts.lost()).views).toBe(isPersistent ? 1 : 0)
    expect(await counts.top('asset', 'views', 1)).toMatchObject(isPersistent ? [{ id: 'a', views: 1 }] : [])
    const again = await counts.apply({ ...batch('log', 1, 2, []), views })
    expect(again && [again.views, again.duplicates]).toEqual(isPersistent ? [[], 1] : undefined)
  })
}
