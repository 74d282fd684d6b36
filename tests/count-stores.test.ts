import { describe, expect, test } from 'vitest'
import type { Position } from '../shared/contracts/position.ts'
import type { SystemStatus } from '../shared/contracts/system-status.ts'
import { readinessOf } from './harness/counting.ts'
import { eventually } from './harness/eventually.ts'
import { natsVersion } from './harness/nats-server.ts'
import { getJson, metric, play, views, warmUp } from './harness/plays.ts'
import { freePort } from './harness/ports.ts'
import { repeatAfterPause, runningTime } from './harness/running-time.ts'
import { type ServiceProcess, startService } from './harness/service-process.ts'
import { type System, startSystem } from './harness/system.ts'
import { startTcpProxy } from './harness/tcp-proxy.ts'

const SUSPENDED = 'counting is suspended'
const TROUBLE = /standing by|interrupted/

describe.skipIf(!natsVersion)('multiple instances of reporting', () => {
  test('with different stores suspend counting until only one instance is left', async () => {
    await using system = await startSystem({ MAX_LAG: '2s' })
    const port = await freePort()
    const urls = `${system.reporting.url},http://127.0.0.1:${port}`
    await using listener = await replaceListener(system, urls)
    await using edge = await startService('play', {
      ...system.env,
      REPORTING_URL: urls,
      QUEUE_LISTENER_URL: listener.url,
    })
    // An unreachable instance does not suspend counting.
    await warmUp(edge.url)
    await eventually(async () => expect(await views(system.reporting.url, 'user', 'warm')).toBeGreaterThan(0))

    await using second = await startService('reporting', system.env, port)
    await eventually(async () => {
      expect(await readinessOf(listener.url)).toMatchObject({
        status: 'degraded',
        forwarding: { state: 'stalled', reason: expect.stringContaining('set the same DATABASE_URL') },
      })
    })
    const before = await positionOf(system.reporting)
    expect((await play(edge.url, '456', 'warm')).status).toBe(200)
    await eventually(async () => {
      for (const { url } of [system.reporting, second]) {
        expect((await readinessOf(url)).counting?.state).toBe('unknown')
      }
    })
    expect([await positionOf(system.reporting), await positionOf(second)]).toEqual([before, null])
    expect((await play(edge.url, '456', 'warm')).body).toMatchObject({ userviews: null, degraded: ['reporting'] })
    expect((await getJson(`${edge.url}/status`)) as SystemStatus).toMatchObject({
      status: 'degraded',
      degraded: ['reporting'],
      parts: { 'queue-listener': { state: 'degraded', stalled: true, reason: expect.stringContaining(second.url) } },
    })
    const lines = listener.lines().filter((line) => line.includes(SUSPENDED))
    expect(lines.map((line) => JSON.parse(line))).toMatchObject([{ level: 50, err: { type: 'StoresDifferError' } }])

    const sequence = Number(before?.sequence)
    await second.signal('SIGTERM')
    await eventually(async () => expect((await positionOf(system.reporting))?.sequence).toBe(sequence + 2))
    await eventually(async () => expect((await readinessOf(listener.url)).status).toBe('ready'))
  })

  test('with a shared store delay counting by less than a second when an instance is killed or its responses are lost', () =>
    repeatAfterPause(expectShortDelays))
})

async function expectShortDelays(): Promise<void> {
  await using system = await startSystem()
  const [first, second] = [await startTcpProxy(system.reporting.url), await startTcpProxy(system.reporting.url)]
  await using stack = new AsyncDisposableStack()
  stack.use(second)
  await using listener = await replaceListener(system, `${first.url},${second.url}`)
  await warmUp(system.play.url)
  await eventually(async () => expect((await readinessOf(listener.url)).status).toBe('ready'))
  let played = 0
  async function playUntilCounted(): Promise<number> {
    const playedAt = runningTime()
    await play(system.play.url, '456', 'viewer')
    played += 1
    await eventually(async () => expect(await views(system.reporting.url, 'user', 'viewer')).toBe(played))
    return runningTime() - playedAt
  }
  for (let n = 0; n < 5; n += 1) await playUntilCounted()
  const failedCalls = /^http_client_request_duration_seconds_count{upstream="reporting",outcome="(failed|timed_out)"}/
  const failed = await metric(listener.url, failedCalls)

  // The instance counts batches, but its responses are lost.
  first.hold()
  first.close()
  for (let n = 0; n < 3; n += 1) await playUntilCounted()
  await first[Symbol.asyncDispose]()
  const delays: number[] = []
  for (let n = 0; n < 20; n += 1) delays.push(await playUntilCounted())
  expect(Math.max(...delays)).toBeLessThan(1_000)
  expect(await metric(listener.url, failedCalls)).toBe(failed)
  expect(listener.lines().filter((line) => TROUBLE.test(line))).toEqual([])
}

/** Replaces the system's queue-listener with one on the same port that calls reporting at these URLs. */
async function replaceListener({ listener, env }: System, urls: string): Promise<ServiceProcess> {
  await listener.signal('SIGTERM')
  await listener.ended()
  return startService('queue-listener', { ...env, REPORTING_URL: urls }, Number(new URL(listener.url).port))
}

async function positionOf({ url }: ServiceProcess): Promise<Position | null> {
  return (await getJson(`${url}/events/position`)) as Position | null
}
