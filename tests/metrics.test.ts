import { spawnSync } from 'node:child_process'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { jsonRequest } from '../shared/testing/json-request.ts'
import { serviceNames } from './harness/each-service.ts'
import { eventually } from './harness/eventually.ts'
import { natsVersion } from './harness/nats-server.ts'
import { metric, play } from './harness/plays.ts'
import { hasPromtool } from './harness/prometheus-server.ts'
import { type System, startSystem } from './harness/system.ts'

describe.skipIf(!natsVersion)('in the metrics,', () => {
  let system: System
  beforeAll(async () => {
    system = await startSystem({ CATALOGUE_TTL: '100ms' })
    await eventually(async () => expect((await playOnce()).status).toBe(200))
  })
  afterAll(() => system?.[Symbol.asyncDispose]())

  const playOnce = () => play(system.play.url, '456', 'measured')

  test.skipIf(!hasPromtool).each(serviceNames)('promtool has no findings for %s', async (name) => {
    const response = await fetch(`${system[name].url}/metrics`)
    expect(response.headers.get('content-type')).toMatch(/^text\/plain; version=0\.0\.4/)
    const input = await response.text()
    expect(input).toContain('http_server_request_duration_seconds')
    expect(input).toContain('nodejs_eventloop_lag_seconds')
    expect(input).toContain('process_resident_memory_bytes')
    expect(input).toContain('process_cpu_seconds_total')
    expect(input).not.toMatch(/measured|="456"/)
    const { status, stdout, stderr } = spawnSync('promtool', ['check', 'metrics'], { input, encoding: 'utf8' })
    expect({ status, findings: stdout + stderr }).toEqual({ status: 0, findings: '' })
  })

  test('each step of a view increments its metric: recorded, forwarded, counted', async () => {
    const { play, listener, reporting } = system
    const counters = [
      () => metric(play.url, /^recorded_views_total{place="log"}/),
      () => metric(play.url, /^event_append_duration_seconds_count{outcome="log"}/),
      () => metric(play.url, /^play_group_size_sum{group="append"}/),
      () => metric(play.url, /^play_group_size_sum{group="lookup"}/),
      () => metric(listener.url, /^forwarded_views_total/),
      () =>
        metric(listener.url, /^http_client_request_duration_seconds_count{upstream="reporting",outcome="answered"}/),
      () => metric(reporting.url, /^counted_views_total{source="log"}/),
      () => metric(reporting.url, /^event_batches_total{outcome="applied"}/),
      () => metric(reporting.url, /^event_log_position/),
    ]
    const read = () => Promise.all(counters.map((counter) => counter()))
    await eventually(async () => expect(await metric(listener.url, /^event_log_lag_messages/)).toBe(0))
    const before = await read()
    await playOnce()
    await eventually(async () => {
      const after = await read()
      for (const [index, value] of after.entries()) expect(value).toBeGreaterThan(Number(before[index]))
    })
    expect(await metric(reporting.url, /^counted_views_total{source="log"}/)).toBe(Number(before[6]) + 1)
  })

  test('a view that bypasses the log has a label of its own', async () => {
    await fetch(`${system.reporting.url}/events/asset/1/user/1`, { method: 'POST' })
    expect(await metric(system.reporting.url, /^counted_views_total{source="request"}/)).toBe(1)
  })

  test('a batch that does not start at the current position is counted as refused', async () => {
    const batch = { stream: '2000-01-01T00:00:00Z', after: 7, through: 8, views: [] }
    const response = await fetch(`${system.reporting.url}/events`, jsonRequest(batch))
    expect(response.status).toBe(409)
    expect(await metric(system.reporting.url, /^event_batches_total{outcome="refused"}/)).toBe(1)
  })

  test('cache reads are counted as hits and misses, and as stale while metadata is down', async () => {
    const reads = (outcome: string) =>
      metric(system.play.url, new RegExp(`^catalogue_cache_reads_total{source="metadata",outcome="${outcome}"}`))
    const [hits, misses] = [await reads('hit'), await reads('miss')]
    await eventually(async () => {
      await playOnce()
      expect(await reads('hit')).toBeGreaterThan(hits)
      expect(await reads('miss')).toBeGreaterThan(misses)
    })
    expect(await reads('stale')).toBe(0)
    await system.metadata.signal('SIGKILL')
    await eventually(async () => {
      await playOnce()
      expect(await reads('stale')).toBeGreaterThan(0)
    })
    expect(await metric(system.play.url, /^degraded_plays_total{part="metadata"}/)).toBeGreaterThan(0)
    expect(await metric(system.play.url, /^degraded_plays_total{part="cdnurl"}/)).toBe(0)
    await play(system.play.url, 'never-read', 'measured')
    expect(await reads('error')).toBeGreaterThan(0)
    await system.metadata.start()
  })

  test('calls to a dead service are counted as failed, and later calls as not sent', async () => {
    const calls = (outcome: string) =>
      metric(
        system.play.url,
        new RegExp(`^http_client_request_duration_seconds_count{upstream="reporting",outcome="${outcome}"}`),
      )
    expect(await calls('answered')).toBeGreaterThan(0)
    await system.reporting.signal('SIGKILL')
    await eventually(async () => {
      await playOnce()
      expect(await calls('failed')).toBeGreaterThan(0)
      expect(await calls('not_asked')).toBeGreaterThan(0)
    })
    await system.reporting.start()
  })

  test('a call to a hanging service is counted as timed out', async () => {
    const timedOut = () =>
      metric(system.play.url, /^http_client_request_duration_seconds_count{upstream="reporting",outcome="timed_out"}/)
    await eventually(async () => expect((await playOnce()).body).not.toHaveProperty('degraded'))
    const before = await timedOut()
    await system.reporting.signal('SIGSTOP')
    await playOnce()
    expect(await timedOut()).toBeGreaterThan(before)
    await system.reporting.start()
  })

  test("the outbox's backlog is exposed until it is drained", async () => {
    const backlog = () => metric(system.play.url, /^outbox_waiting_views/)
    await system.nats.signal('SIGKILL')
    await eventually(async () => {
      await playOnce()
      expect(await backlog()).toBeGreaterThan(0)
    })
    expect(await metric(system.play.url, /^recorded_views_total{place="outbox"}/)).toBeGreaterThan(0)
    expect(await metric(system.play.url, /^event_append_duration_seconds_count{outcome="outbox"}/)).toBeGreaterThan(0)
    await system.nats.start()
    await eventually(async () => expect(await backlog()).toBe(0))
  })
})
