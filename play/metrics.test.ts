import { expect, test } from 'vitest'
import type { NewView } from '../shared/event-log/event-log.ts'
import { createMetrics, type Metrics } from '../shared/service/metrics.ts'
import { createPlayMetrics, exposeOutbox } from './metrics.ts'
import { OutboxError } from './outbox.ts'
import { recordedIn } from './recorded.test-suite.ts'

const signal = new AbortController().signal
const view: NewView = { id: '1', assetId: 'a', userId: 'u', at: '2026-11-20T21:00:00Z' }

test('cache reads are counted by source and outcome', async () => {
  const { metrics, play } = setUp()
  const onRead = play.reads('metadata')
  for (const outcome of ['hit', 'hit', 'miss', 'stale', 'error'] as const) onRead(outcome)
  expect(await samples(metrics, 'catalogue_cache_reads_total')).toEqual([
    'catalogue_cache_reads_total{source="metadata",outcome="error"} 1',
    'catalogue_cache_reads_total{source="metadata",outcome="hit"} 2',
    'catalogue_cache_reads_total{source="metadata",outcome="miss"} 1',
    'catalogue_cache_reads_total{source="metadata",outcome="stale"} 1',
  ])
})

test('degraded plays are counted by upstream, and each upstream is exposed from the start', async () => {
  const { metrics, play } = setUp()
  play.degraded(['metadata', 'events'])
  play.degraded(['events'])
  expect(await samples(metrics, 'degraded_plays_total')).toEqual([
    'degraded_plays_total{part="cdnurl"} 0',
    'degraded_plays_total{part="events"} 2',
    'degraded_plays_total{part="metadata"} 1',
    'degraded_plays_total{part="reporting"} 0',
  ])
})

test('appends are observed by outcome, and their views are counted by place', async () => {
  const { metrics, play } = setUp()
  const [log, outbox] = [recordedIn('log'), recordedIn('outbox')]
  expect(await play.instrumentAppend(async () => log)([view, view], signal)).toBe(log)
  expect(await play.instrumentAppend(async () => outbox)([view], signal)).toBe(outbox)
  const failing = play.instrumentAppend(() => Promise.reject(new OutboxError('the disk is full')))
  await expect(failing([view], signal)).rejects.toThrow(OutboxError)
  expect(await samples(metrics, 'recorded_views_total')).toEqual([
    'recorded_views_total{place="log"} 2',
    'recorded_views_total{place="outbox"} 1',
  ])
  expect(await samples(metrics, 'event_append_duration_seconds_count')).toEqual([
    'event_append_duration_seconds_count{outcome="failed"} 1',
    'event_append_duration_seconds_count{outcome="log"} 1',
    'event_append_duration_seconds_count{outcome="outbox"} 1',
  ])
})

test('batches are observed by kind and size', async () => {
  const { metrics, play } = setUp()
  play.lookup(3)
  await play.instrumentAppend(async () => recordedIn('log'))([view, view], signal)
  expect(await samples(metrics, 'play_group_size_(sum|count)')).toEqual([
    'play_group_size_count{group="append"} 1',
    'play_group_size_count{group="lookup"} 1',
    'play_group_size_sum{group="append"} 2',
    'play_group_size_sum{group="lookup"} 3',
  ])
})

test('every outcome of an append is exposed from the start', async () => {
  expect(await samples(setUp().metrics, 'event_append_duration_seconds_count')).toEqual([
    'event_append_duration_seconds_count{outcome="failed"} 0',
    'event_append_duration_seconds_count{outcome="log"} 0',
    'event_append_duration_seconds_count{outcome="outbox"} 0',
  ])
})

test('the size of the outbox is NaN while the disk fails', async () => {
  const { metrics } = setUp()
  let isFailing = false
  exposeOutbox(metrics, {
    size() {
      if (isFailing) throw new OutboxError('disk I/O error')
      return 7
    },
  })
  expect(await samples(metrics, 'outbox_waiting_views')).toEqual(['outbox_waiting_views 7'])
  isFailing = true
  expect(await samples(metrics, 'outbox_waiting_views')).toEqual(['outbox_waiting_views Nan'])
})

function setUp() {
  const metrics = createMetrics()
  return { metrics, play: createPlayMetrics(metrics) }
}

async function samples(metrics: Metrics, name: string): Promise<string[]> {
  const lines = (await metrics.metrics()).split('\n')
  return lines.filter((line) => new RegExp(`^${name}[{ ]`).test(line)).toSorted()
}
