import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { JudgedView } from './engine.ts'
import { type Opened, readInBatches, reading, type Store } from './opened-store.test-suite.ts'
import {
  AT,
  assets,
  type Expected,
  judgeOneByOne,
  message,
  toBatch,
  toLog,
  toView,
  users,
} from './reference.test-suite.ts'

/** The conformance suite for verdicts in count stores. */
export function describeVerdicts(store: Store) {
  const { open, numRuns } = store

  test('verdicts and counts depend only on the log, not on batches, instances or restarts', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(message, { minLength: 1, maxLength: 30 }), reading, async (drawn, reading) => {
        const log = toLog(drawn)
        const expected = judgeOneByOne(log)
        const length = log.length
        await readInBatches(
          store,
          { reading, length, toBatch: (after, through) => toBatch(log, after, through) },
          {
            async atEnd({ counts, others }) {
              for (const each of [counts, ...others]) await expectNumbers(each, expected, length)
            },
          },
        )
      }),
      { numRuns },
    )
  })

  test('a play of the same asset by the same user within 30 s is a repeat, even after another repeat', async () => {
    await using opened = await open()
    const { counts } = opened
    const plays = [0, 30, 60, 91].map((second, n) => toView({ id: `view-${n}`, second }))
    await counts.apply(
      toBatch(
        plays.map((view) => ({ views: [view], at: view.at })),
        0,
        4,
      ),
    )
    expect(await Promise.all(plays.map(({ id }) => counts.explain(id)))).toMatchObject([
      { state: 'counted', verdict: 'qualified', reason: null, because: null, rule: 'v1' },
      { state: 'counted', verdict: 'not-qualified', reason: 'repeat', because: { id: 'view-0', at: plays[0]?.at } },
      { verdict: 'not-qualified', because: { id: 'view-1' } },
      { verdict: 'qualified', position: { stream: 'log', sequence: 4 }, assetId: 'a', userId: 'u', at: plays[3]?.at },
    ])
    expect(await counts.explain('unknown')).toBeUndefined()
    expect(await counts.counts('asset', 'a')).toEqual({ views: 4, qualified: 2, viewers: 1 })
    expect(await counts.counts('user', 'u')).toEqual({ views: 4, qualified: 2 })
  })

  test('an event in a dead letter is rejected, unless a view has the same id', async () => {
    await using opened = await open()
    const { counts } = opened
    const skipped = [
      { sequence: 1, ids: ['x', 'y\0\ud800"\'\\'] },
      { sequence: 2, ids: [] },
    ]
    await counts.apply({ incarnation: 'log', after: 0, through: 2, views: [], messages: [], skipped })
    for (const id of ['x', 'y\0\ud800"\'\\']) {
      expect(await counts.explain(id)).toMatchObject({ id, state: 'rejected', verdict: null, reason: 'dead-letter' })
    }
    expect(await counts.audit()).toMatchObject({ views: 0, rejected: 3 })
    const replayed = { views: [toView({ id: 'x', second: 0 })], at: AT }
    await counts.apply({
      ...toBatch([replayed], 0, 1),
      after: 2,
      through: 3,
      messages: [{ sequence: 3, views: 1, at: AT }],
    })
    const counted = { state: 'counted', position: { sequence: 3 } }
    expect(await counts.explain('x')).toMatchObject(counted)
    expect(await counts.audit()).toMatchObject({ views: 1, rejected: 3 })
    const forged = [{ sequence: 4, ids: ['x'] }]
    await counts.apply({ incarnation: 'log', after: 3, through: 4, views: [], messages: [], skipped: forged })
    expect(await counts.explain('x')).toMatchObject(counted)
  })

  test('the top list can be ranked by qualified views', async () => {
    await using opened = await open()
    const plays = [...Array(3).fill('a'), 'b', 'b', 'c'].map((assetId, n) => {
      const userId = assetId === 'a' ? 'u' : `user-${n}`
      return toView({ id: `view-${n}`, second: 0, assetId, userId })
    })
    await opened.counts.apply(toBatch([{ views: plays, at: AT }], 0, 1))
    expect(await opened.counts.top('asset', 'qualified', 10)).toEqual([
      { id: 'b', views: 2, qualified: 2, viewers: 2 },
      { id: 'a', views: 3, qualified: 1, viewers: 1 },
      { id: 'c', views: 1, qualified: 1, viewers: 1 },
    ])
    expect((await opened.counts.top('asset', 'views', 10)).map(({ id }) => id)).toEqual(['a', 'b', 'c'])
    expect(await opened.counts.top('user', 'qualified', 1)).toEqual([{ id: 'u', views: 3, qualified: 1 }])
  })

  test('a direct count adds to the views, but has no verdict', async () => {
    await using opened = await open()
    const { counts } = opened
    await counts.count({ assetId: 'a', userId: 'u' })
    await counts.apply(toBatch([{ views: [toView({ id: 'x', second: 0 })], at: AT }], 0, 1))
    expect(await counts.counts('asset', 'a')).toEqual({ views: 2, qualified: 1, viewers: 1 })
    expect(await counts.counts('user', 'u')).toEqual({ views: 2, qualified: 1 })
    expect(await counts.audit()).toMatchObject({ views: 2, qualified: 1, direct: 1, pending: 0, notQualified: {} })
  })
}

async function expectNumbers(counts: Opened['counts'], { views, retried, keysReused }: Expected, sequence: number) {
  const numbersOf = (own: JudgedView[]) => ({
    views: own.length,
    qualified: own.filter(({ verdict }) => verdict === 'qualified').length,
  })
  for (const id of assets) {
    const own = views.filter(({ assetId }) => assetId === id)
    const viewers = new Set(own.map(({ userId }) => userId)).size
    expect(await counts.counts('asset', id)).toEqual(own.length === 0 ? undefined : { ...numbersOf(own), viewers })
  }
  for (const id of users) {
    const own = views.filter(({ userId }) => userId === id)
    expect(await counts.counts('user', id)).toEqual(own.length === 0 ? undefined : numbersOf(own))
  }
  const { qualified } = numbersOf(views)
  const repeats = views.length - qualified
  expect(await counts.audit()).toEqual({
    views: views.length,
    qualified,
    pending: 0,
    notQualified: repeats > 0 ? { repeat: repeats } : {},
    direct: 0,
    retried,
    rejected: keysReused,
    position: { stream: 'log', sequence },
  })
  for (const view of new Map(views.map((view) => [view.id, view])).values()) {
    expect(await counts.explain(view.id)).toEqual({
      id: view.id,
      state: 'counted',
      verdict: view.verdict,
      reason: view.reason ?? null,
      rule: 'v1',
      because: view.because ? { id: view.because.id, at: new Date(view.because.at).toISOString() } : null,
      assetId: view.assetId,
      userId: view.userId,
      at: new Date(view.at).toISOString(),
      position: { stream: 'log', sequence: view.sequence },
    })
  }
  const ids = views.map(({ id }) => id)
  const keyed = views.filter(({ keyed }) => keyed)
  const lookup = { assets: [], users: [], events: [...ids, 'unknown'] }
  const { events } = await counts.lookUp(lookup)
  expect(await counts.listViews(lookup)).toEqual({ assets: [], users: [], events })
  expect(Object.keys(events ?? {}).toSorted()).toEqual([...new Set(keyed.map(({ id }) => id))].toSorted())
}
