import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { LiveEvent } from '../shared/contracts/live.ts'
import type { View } from '../shared/contracts/view.ts'
import { eventually } from '../tests/harness/eventually.ts'
import { type Opened, readInBatches, reading, type Store } from './opened-store.test-suite.ts'
import { toSeries } from './series.ts'
import {
  assets,
  DAY_S,
  drawnMessage,
  judgeLog,
  type Message,
  type Report,
  START,
  toBatch,
  toLog,
  toTime,
  users,
} from './watch-reference.test-suite.ts'

const HOUR_MS = 3_600_000

/** The conformance suite for watch time. The stores under test use the view rules v2. */
export function describeWatchTime(store: Store) {
  const { open, numRuns } = store

  test('verdicts and watch times depend only on the log, and add up in every snapshot', {
    timeout: 120_000,
  }, async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(drawnMessage, { minLength: 1, maxLength: 25 }), reading, async (drawn, reading) => {
        const log = toLog(drawn)
        const length = log.length
        await readInBatches(
          store,
          { reading, length, toBatch: (after, through) => toBatch(log, after, through) },
          {
            onBatch: ({ counts }) => expectSum(counts),
            async atEnd({ counts, others }) {
              const expected = judgeLog(log)
              for (const each of [counts, ...others]) await expectVerdicts(each, expected, log.at(-1)?.at)
            },
          },
        )
      }),
      { numRuns },
    )
  })

  test('a view is pending until 30 s are reported, and then qualifies exactly once', async () => {
    await using opened = await open()
    const { counts } = opened
    const log = [
      message(0, view()),
      message(10, report(29.999)),
      message(11, report(31)),
      message(12, report(12), report(31)),
    ]
    await counts.apply(toBatch(log, 0, 1))
    expect(await counts.explain('view')).toMatchObject({
      verdict: 'pending',
      reason: 'watch-time',
      secondsWatched: null,
      secondsRequired: 30,
    })
    expect(await counts.audit()).toMatchObject({ views: 1, qualified: 0, pending: 1, notQualified: {} })
    await counts.apply(toBatch(log, 1, 2))
    expect(await counts.explain('view')).toMatchObject({ verdict: 'pending', secondsWatched: 29.999 })
    for (const [after, through] of [
      [2, 3],
      [3, 4],
    ] as const) {
      await counts.apply(toBatch(log, after, through))
      expect(await counts.explain('view')).toMatchObject({ verdict: 'qualified', reason: null, secondsWatched: 31 })
      expect(await counts.audit()).toMatchObject({ views: 1, qualified: 1, pending: 0, notQualified: {} })
      expect(await counts.counts('asset', 'a')).toEqual({ views: 1, qualified: 1, viewers: 1 })
      expect(await counts.counts('user', 'u')).toEqual({ views: 1, qualified: 1 })
      expect(await counts.top('asset', 'qualified', 1)).toEqual([{ id: 'a', views: 1, qualified: 1, viewers: 1 }])
    }
  })

  test('subscribers receive the new number of qualified views when a report makes a view qualify', async () => {
    await using opened = await open()
    const { counts } = opened
    const events: LiveEvent[] = []
    const stop = counts.follow((event) => events.push(event))
    const log = [message(0, view()), message(10, report(31))]
    await counts.apply(toBatch(log, 0, 1))
    await eventually(() => expect(events.at(-1)).toMatchObject({ data: { views: 1 } }))
    await counts.apply(toBatch(log, 1, 2))
    const qualified = { total: 1, assets: { a: 1 }, users: { u: 1 } }
    await eventually(() => expect(events.at(-1)).toMatchObject({ event: 'changes', data: { views: 1, qualified } }))
    stop()
  })

  test('half of the duration suffices if that is less than 30 s', async () => {
    await using opened = await open()
    const log = [message(0, { ...view(), duration: 20 }), message(1, report(10))]
    await opened.counts.apply(toBatch(log, 0, 2))
    expect(await opened.counts.explain('view')).toMatchObject({ verdict: 'qualified', secondsRequired: 10 })
  })

  test.each([
    ['nothing was reported', [], 'no-watch-report', null],
    ['too little was reported', [report(29)], 'watch-time', 29],
  ])("a view does not qualify if %s within 24 h by the log's clock", async (_, reports, reason, secondsWatched) => {
    await using opened = await open()
    const { counts } = opened
    const other = { ...view(), id: 'other', userId: 'v' }
    const log = [
      message(0, view()),
      message(1, ...reports, { ...view(), id: 'repeat' }),
      message(DAY_S, other),
      message(DAY_S + 1, { ...other, id: 'more' }, report(31)),
    ]
    await counts.apply(toBatch(log, 0, 3))
    expect(await counts.explain('view')).toMatchObject({ verdict: 'pending', secondsWatched })
    await counts.apply(toBatch(log, 3, 4))
    expect(await counts.explain('view')).toMatchObject({ verdict: 'not-qualified', reason, secondsWatched })
    expect(await counts.audit()).toMatchObject({
      views: 4,
      qualified: 0,
      notQualified: { repeat: 2, [reason]: 1 },
      pending: 1,
    })
  })

  test('a report that is stored before its view takes effect once the view is stored', async () => {
    await using opened = await open()
    const { counts } = opened
    const log = [message(0, report(31)), message(3_600, view())]
    expect(await counts.apply(toBatch(log, 0, 1))).toMatchObject({ ignoredReports: ['unknown-view'] })
    await counts.apply(toBatch(log, 1, 2))
    expect(await counts.explain('view')).toMatchObject({ verdict: 'qualified', secondsWatched: 31 })
  })

  test('reports that name one unknown view but many assets take no longer than reports for many views', {
    timeout: 5_000,
  }, async () => {
    await using opened = await open()
    const reports = Array.from({ length: 5_000 }, (_, n) => ({ ...report(1), assetId: `a${n}` }))
    const log = [
      message(0, ...reports),
      message(1, { ...report(31), assetId: 'a7' }),
      message(2, { ...view(), assetId: 'a7' }),
    ]
    await opened.counts.apply(toBatch(log, 0, 3))
    expect(await opened.counts.explain('view')).toMatchObject({ verdict: 'qualified', secondsWatched: 31 })
  })

  test("a report whose asset or user differs from its view's has no effect", async () => {
    await using opened = await open()
    const { counts } = opened
    const foreign = [
      { ...report(31), assetId: 'b' },
      { ...report(31), userId: 'v' },
    ]
    await counts.apply(toBatch([message(0, view())], 0, 1))
    const applied = await counts.apply(toBatch([message(0, view()), message(1, ...foreign)], 1, 2))
    expect(applied).toMatchObject({ ignoredReports: ['other-play', 'other-play'] })
    expect(await counts.explain('view')).toMatchObject({ verdict: 'pending', secondsWatched: null })
  })

  test('a report that the log contains twice consumes one serial', async () => {
    await using opened = await open()
    const { counts } = opened
    const numbered = [
      { ...view(), producer: 'p', serial: 1 },
      { ...report(31), producer: 'p', serial: 2 },
      { ...report(31), producer: 'p', serial: 2 },
      { ...view(), id: 'next', producer: 'p', serial: 3 },
    ]
    const applied = await counts.apply(toBatch([message(0, ...numbered)], 0, 1))
    expect(applied).toMatchObject({ duplicates: 0, gaps: [] })
    expect(applied?.views).toHaveLength(2)
  })
}

const view = (): View => ({ id: 'view', assetId: 'a', userId: 'u', at: toTime(START) })
const report = (seconds: number): Report => ({ viewId: 'view', assetId: 'a', userId: 'u', seconds })
const message = (second: number, ...events: Message['events']): Message => ({
  at: toTime(START + second * 1_000),
  events,
})

async function expectSum(counts: Opened['counts']) {
  const { views, qualified, pending, notQualified, direct } = await counts.audit()
  expect(Object.values(notQualified).reduce((sum, number) => sum + number, qualified + pending + direct)).toBe(views)
}

type Expected = ReturnType<typeof judgeLog>

async function expectVerdicts(counts: Opened['counts'], expected: Expected, end = '') {
  const count = (verdict: string) => expected.filter((view) => view.verdict === verdict).length
  const reasons = Object.groupBy(
    expected.filter(({ verdict }) => verdict === 'not-qualified'),
    ({ reason }) => reason ?? '',
  )
  expect(await counts.audit()).toMatchObject({
    views: expected.length,
    qualified: count('qualified'),
    pending: count('pending'),
    notQualified: Object.fromEntries(Object.entries(reasons).map(([reason, own = []]) => [reason, own.length])),
  })
  const numbersOf = (own: Expected) => ({
    views: own.length,
    qualified: own.filter(({ verdict }) => verdict === 'qualified').length,
  })
  for (const id of assets) {
    const own = expected.filter(({ assetId }) => assetId === id)
    const viewers = new Set(own.map(({ userId }) => userId)).size
    expect(await counts.counts('asset', id)).toEqual(own.length === 0 ? undefined : { ...numbersOf(own), viewers })
  }
  for (const id of users) {
    const own = expected.filter(({ userId }) => userId === id)
    expect(await counts.counts('user', id)).toEqual(own.length === 0 ? undefined : numbersOf(own))
  }
  for (const view of new Map(expected.map((view) => [view.id, view])).values()) {
    expect(await counts.explain(view.id)).toMatchObject({
      verdict: view.verdict,
      reason: view.reason,
      rule: 'v2',
      because: view.because ? { id: view.because.id } : null,
      position: { sequence: view.sequence },
      secondsWatched: view.watched === undefined ? null : view.watched / 1_000,
      ...(view.because ? {} : { secondsRequired: view.required / 1_000 }),
    })
  }
  await expectWatchedSeries(counts, expected, Date.parse(end))
}

async function expectWatchedSeries(counts: Opened['counts'], expected: Expected, clock: number) {
  for (const assetId of [undefined, ...assets]) {
    const range = { step: 'hour', assetId, from: START - 3 * HOUR_MS, to: clock + 1 } as const
    const own = expected.filter((view) => assetId === undefined || view.assetId === assetId)
    const { points } = toSeries(range, await counts.series(range))
    const found = points.filter(({ views }) => views > 0).map(({ at, ...numbers }) => [at, numbers])
    const hours = Object.groupBy(own, ({ at }) => `${at.slice(0, 13)}:00:00.000Z`)
    const isKept = (at: string) => Date.parse(at) >= Math.floor(clock / HOUR_MS) * HOUR_MS - 35 * DAY_S * 1_000
    const sums = Object.entries(hours).flatMap(([at, views = []]) => {
      const watched = views.reduce((sum, { watched = 0 }) => sum + watched, 0)
      const qualified = views.filter(({ verdict }) => verdict === 'qualified').length
      return isKept(at) ? [[at, { views: views.length, qualified, secondsWatched: watched / 1_000 }]] : []
    })
    expect(Object.fromEntries(found)).toEqual(Object.fromEntries(sums))
  }
}
