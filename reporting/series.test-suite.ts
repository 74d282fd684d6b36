import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { SeriesStep } from '../shared/contracts/series.ts'
import type { View } from '../shared/contracts/view.ts'
import type { CountStore } from './count-store.ts'
import type { JudgedView } from './engine.ts'
import { type Opened, readInBatches, reading, type Store } from './opened-store.test-suite.ts'
import { judgeOneByOne, type Message, toBatch, toLog } from './reference.test-suite.ts'
import { toSeries } from './series.ts'

const MINUTE_S = 60
const HOUR_S = 3_600
const DAY_S = 86_400
const assets = [undefined, 'a', 'b', 'unknown']

/** Durations in seconds: short ones, and some close to the retention period of each step. */
const duration = fc.oneof(
  fc.integer({ min: 0, max: 2 * MINUTE_S }),
  fc.integer({ min: 0, max: 2 * DAY_S }),
  fc.integer({ min: 34 * DAY_S, max: 36 * DAY_S }),
  fc.constantFrom(48 * HOUR_S, 48 * HOUR_S + MINUTE_S, 35 * DAY_S, 35 * DAY_S + HOUR_S),
)
const message = fc.record({
  after: duration,
  views: fc.array(
    fc.record({
      assetId: fc.constantFrom('a', 'b'),
      userId: fc.constantFrom('u', 'v'),
      before: duration,
      key: fc.option(fc.constantFrom('k', 'l'), { nil: undefined, freq: 2 }),
    }),
    { minLength: 1, maxLength: 4 },
  ),
})

/** The conformance suite for the series in count stores. */
export function describeSeries(store: Store) {
  const { open, numRuns } = store

  test('the series depend only on the log, and contain every view once', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(message, { minLength: 1, maxLength: 20 }), reading, async (drawn, reading) => {
        const log = toLog(drawn)
        const length = log.length
        await readInBatches(
          store,
          { reading, length, toBatch: (after, through) => toBatch(log, after, through) },
          {
            atEnd: (opened) => expectSeries(opened, log),
          },
        )
      }),
      { numRuns },
    )
  })

  test('a view counts towards the steps in which it was played, however late the log stored it', async () => {
    await using opened = await open()
    await applyAll(opened.counts, [
      { stored: '2026-11-20T21:00:30Z', plays: ['2026-11-20T21:00:20Z', '2026-11-20T20:59:59.999Z'] },
      { stored: '2026-11-21T00:00:00Z', plays: ['2026-11-21T00:00:00Z', '2026-11-20T20:59:00Z'] },
    ])
    const { counts } = opened
    const to = '2026-11-22T00:00:00Z'
    expect(await seriesOf(counts, 'minute', { from: '2026-11-20T20:00:00Z', to })).toEqual({
      '2026-11-20T20:59:00.000Z': [2, 1],
      '2026-11-20T21:00:00.000Z': [1, 1],
      '2026-11-21T00:00:00.000Z': [1, 1],
    })
    expect(await seriesOf(counts, 'hour', { from: '2026-11-20T20:00:00Z', to })).toEqual({
      '2026-11-20T20:00:00.000Z': [2, 1],
      '2026-11-20T21:00:00.000Z': [1, 1],
      '2026-11-21T00:00:00.000Z': [1, 1],
    })
    expect(await seriesOf(counts, 'day', { from: '2026-11-20T00:00:00Z', to })).toEqual({
      '2026-11-20T00:00:00.000Z': [3, 2],
      '2026-11-21T00:00:00.000Z': [1, 1],
    })
  })

  test.each([
    ['minute', undefined, '2026-11-18T21:00:00Z', '2026-11-18T20:59:59Z', '2026-11-20T21:00:59Z'],
    ['hour', 'a', '2026-10-16T21:00:00Z', '2026-10-16T20:59:59Z', '2026-11-20T21:59:59Z'],
  ] as const)(
    'a step of one %s is kept until the log stores a message after its retention period',
    async (step, assetId, kept, late, end) => {
      await using opened = await open()
      const { counts } = opened
      const read = () => seriesOf(counts, step, { assetId, from: late, to: '2026-11-20T00:00:00Z' })
      const [own, next] = [toTime(kept), toTime(Date.parse(end) + 1_000)]
      await applyAll(counts, [{ stored: end, plays: [kept, late] }])
      expect(await read()).toEqual({ [own]: [1, 1] })
      await applyAll(counts, [{ stored: next, plays: [kept] }])
      expect(await read()).toEqual({})
      expect(await seriesOf(counts, 'day', { assetId, from: '2026-10-01T00:00:00Z', to: next })).toMatchObject({
        [`${kept.slice(0, 10)}T00:00:00.000Z`]: [3, 1],
      })
    },
  )

  test('a direct count is added to the current step, and does not qualify', async () => {
    await using opened = await open()
    const { counts } = opened
    const from = new Date(Date.now() - 2 * DAY_S * 1_000).toISOString()
    await counts.count({ assetId: 'a', userId: 'u' })
    const to = new Date(Date.now() + 1).toISOString()
    for (const range of [{ step: 'minute' }, { step: 'hour', assetId: 'a' }, { step: 'day', assetId: 'a' }] as const) {
      expect(Object.values(await seriesOf(counts, range.step, { from, to, ...range }))).toEqual([[1, 0]])
    }
    expect(await seriesOf(counts, 'hour', { from, to, assetId: 'b' })).toEqual({})
  })
}

async function applyAll(counts: CountStore, messages: { stored: string; plays: string[] }[]): Promise<void> {
  let after = (await counts.position())?.sequence ?? 0
  for (const { stored, plays } of messages) {
    const views = plays.map((at, n): View => ({ id: `${after}-${n}`, assetId: 'a', userId: 'u', at }))
    const read = [{ sequence: after + 1, views: views.length, at: stored }]
    await counts.apply({ incarnation: 'log', after, through: after + 1, views, messages: read })
    after += 1
  }
}

type Range = { assetId?: string | undefined; from: string; to: string }

/** The views and qualified views in the steps that have views. */
async function seriesOf(counts: CountStore, step: SeriesStep, { assetId, from, to }: Range) {
  const range = { step, assetId, from: Date.parse(from), to: Date.parse(to) }
  const { points } = toSeries(range, await counts.series(range))
  const found = points.filter(({ views }) => views > 0)
  return Object.fromEntries(found.map(({ at, views, qualified }) => [at, [views, qualified]]))
}

async function expectSeries({ counts, others }: Opened, log: Message[]): Promise<void> {
  const { views } = judgeOneByOne(log)
  const clock = Math.max(...log.map(({ at }) => Date.parse(at)))
  const to = toTime(clock + 1)
  const since = {
    minute: toStart('minute', toTime(clock - 48 * HOUR_S * 1_000)),
    hour: toStart('hour', toTime(clock - 35 * DAY_S * 1_000)),
    day: '2026-01-01T00:00:00.000Z',
  }
  for (const store of [counts, ...others]) {
    for (const step of ['minute', 'hour', 'day'] as const) {
      for (const assetId of step === 'minute' ? [undefined] : assets) {
        const own = views.filter((view) => assetId === undefined || view.assetId === assetId)
        const expected = countBy(own, (at) => toStart(step, at))
        const kept = Object.entries(expected).filter(([at]) => at >= since[step])
        expect(await seriesOf(store, step, { assetId, from: since[step], to })).toEqual(Object.fromEntries(kept))
      }
    }
    const days = Object.values(await seriesOf(store, 'day', { from: since.day, to }))
    const audit = await store.audit()
    expect(days.reduce((sum, [views = 0]) => sum + views, 0)).toBe(audit.views - audit.pending)
    expect(days.reduce((sum, [, qualified = 0]) => sum + qualified, 0)).toBe(audit.qualified)
  }
}

function countBy(views: readonly JudgedView[], toKey: (at: string) => string): Record<string, [number, number]> {
  const counts: Record<string, [number, number]> = {}
  for (const { at, verdict } of views) {
    const [total, qualified] = counts[toKey(toTime(at))] ?? [0, 0]
    counts[toKey(toTime(at))] = [total + 1, qualified + (verdict === 'qualified' ? 1 : 0)]
  }
  return counts
}

/** Truncates a time's RFC 3339 text, so that the test does not use the same arithmetic as the stores. */
function toStart(step: SeriesStep, at: string): string {
  if (step === 'day') return `${at.slice(0, 10)}T00:00:00.000Z`
  return step === 'hour' ? `${at.slice(0, 13)}:00:00.000Z` : `${at.slice(0, 16)}:00.000Z`
}

function toTime(time: number | string): string {
  return new Date(time).toISOString()
}
