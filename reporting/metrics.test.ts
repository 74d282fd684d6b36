import { pino } from 'pino'
import { expect, test } from 'vitest'
import { createMetrics } from '../shared/service/metrics.ts'
import type { CountStore } from './count-store.ts'
import { createLoadingStore } from './maps/loading-store.ts'
import { createMapCountStore } from './maps/map-count-store.ts'
import { instrumentCounts } from './metrics.ts'

const view = { id: '1', assetId: 'a', userId: 'u', at: '2026-11-20T21:00:00Z' }

test('every metric is exposed before the first view', async () => {
  expect(await setUp().samples()).toEqual([
    'counted_views_total{source="log"} 0',
    'counted_views_total{source="request"} 0',
    'duplicate_views_total 0',
    'event_batches_total{outcome="applied"} 0',
    'event_batches_total{outcome="refused"} 0',
    'event_log_position 0',
    'ignored_events_total{reason="key-reused"} 0',
    'ignored_events_total{reason="retried"} 0',
    'ignored_watch_reports_total{reason="other-play"} 0',
    'ignored_watch_reports_total{reason="unknown-view"} 0',
    'ignored_watch_reports_total{reason="unused"} 0',
    'lost_views_total 0',
    'views_total{verdict="direct",reason=""} 0',
    'views_total{verdict="qualified",reason=""} 0',
  ])
})

test('views are counted by source, batches by outcome, and the position is the end of the last batch', async () => {
  const { counts, samples } = setUp()
  const batch = { incarnation: 's', after: 0, through: 3, views: [view, view] }
  expect(await counts.count(view)).toEqual({ userviews: 1, assetviews: 1 })
  expect(await counts.apply(batch)).toMatchObject({ views: [{ verdict: 'qualified' }, { reason: 'repeat' }] })
  expect(await counts.apply(batch)).toBeUndefined()
  expect((await counts.counts('asset', 'a'))?.views).toBe(3)
  expect(await samples()).toEqual([
    'counted_views_total{source="log"} 2',
    'counted_views_total{source="request"} 1',
    'duplicate_views_total 0',
    'event_batches_total{outcome="applied"} 1',
    'event_batches_total{outcome="refused"} 1',
    'event_log_position 3',
    'ignored_events_total{reason="key-reused"} 0',
    'ignored_events_total{reason="retried"} 0',
    'ignored_watch_reports_total{reason="other-play"} 0',
    'ignored_watch_reports_total{reason="unknown-view"} 0',
    'ignored_watch_reports_total{reason="unused"} 0',
    'lost_views_total 0',
    'views_total{verdict="direct",reason=""} 1',
    'views_total{verdict="not-qualified",reason="repeat"} 1',
    'views_total{verdict="qualified",reason=""} 1',
  ])
})

test('duplicate and lost views are counted, and a loss is logged with its producer and serials', async () => {
  const { counts, logged, samples } = setUp()
  const views = [1, 1, 4].map((serial) => ({ ...view, producer: 'p', serial }))
  await counts.apply({ incarnation: 's', after: 0, through: 3, views })
  expect(await samples()).toEqual(
    expect.arrayContaining(['counted_views_total{source="log"} 2', 'duplicate_views_total 1', 'lost_views_total 2']),
  )
  expect(logged).toMatchObject([{ level: 50, views: 2, gaps: [{ producer: 'p', from: 2, to: 3 }] }])
})

test('when the log is recreated, one line is logged, with the last position in the previous log', async () => {
  const { counts, logged } = setUp()
  await counts.apply({ incarnation: 'old', after: 0, through: 3, views: [view] })
  const leaving = { incarnation: 'old', sequence: 3 }
  await counts.apply({ incarnation: 'new', after: 0, through: 1, views: [view], leaving })
  await counts.apply({ incarnation: 'new', after: 1, through: 2, views: [view] })
  expect(logged).toMatchObject([
    { level: 40, leaving, incarnation: 'new', msg: expect.stringMatching(/^the log was rec/) },
  ])
})

test('while the counts are unavailable, their metrics are NaN, and the other metrics can still be read', async () => {
  const metrics = createMetrics()
  const counts = createLoadingStore(new Promise<CountStore>(() => {}))
  instrumentCounts({ metrics, log: pino({ level: 'silent' }) }, counts)
  expect(await metrics.metrics()).toMatch(/^event_log_position nan$/im)
  expect(await metrics.metrics()).toMatch(/^counted_ids\{by="user"\} nan$/im)
  expect(await metrics.metrics()).toMatch(/^duplicate_views_total 0$/m)
})

function setUp() {
  const metrics = createMetrics()
  const logged: object[] = []
  const log = pino({}, { write: (line: string) => logged.push(JSON.parse(line)) })
  const counts = instrumentCounts({ metrics, log }, createMapCountStore())
  async function samples() {
    const lines = (await metrics.metrics()).split('\n')
    return lines.filter((line) => /^(counted_views|duplicate|lost|event_|views_|ignored_)/.test(line)).toSorted()
  }
  return { counts, logged, samples }
}
