import { text } from 'node:stream/consumers'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { CountsBehind } from '../shared/contracts/counting.ts'
import { Playback } from '../shared/contracts/playback.ts'
import type { SystemStatus } from '../shared/contracts/system-status.ts'
import { sleep } from '../shared/runtime/sleep.ts'
import { startHttpServer } from '../shared/testing/http-server.ts'
import { jsonRequest } from '../shared/testing/json-request.ts'
import { expectCurrent, readinessOf } from './harness/counting.ts'
import { eventually } from './harness/eventually.ts'
import { appendViews } from './harness/long-log.ts'
import { natsVersion } from './harness/nats-server.ts'
import { getJson, play, views } from './harness/plays.ts'
import { runningTime } from './harness/running-time.ts'
import { startService } from './harness/service-process.ts'
import { type System, startSystem, WITHOUT_CHECKPOINT } from './harness/system.ts'

const USER = 'regular'
const MAX_LAG_MS = 3_000
const BEHIND = { status: 'Counts are behind', progress: expect.any(Number), requestId: expect.any(String) }
const READS = [`/events/user/${USER}`, '/events/asset/456', '/events/top']

describe.skipIf(!natsVersion)('counts are served only while they are current:', () => {
  let system: System
  beforeAll(async () => {
    system = await startSystem({ MAX_LAG: `${MAX_LAG_MS}ms`, ...WITHOUT_CHECKPOINT })
    for (let n = 0; n < 5; n += 1) {
      await eventually(async () => expect((await play(system.play.url, '456', USER)).status).toBe(200))
    }
    await eventually(async () => expect(await views(system.reporting.url, 'user', USER)).toBe(5))
  })
  afterAll(() => system?.[Symbol.asyncDispose]())

  const statusOf = async () => (await getJson(`${system.play.url}/status`)) as SystemStatus

  test('while a long log is replayed after a restart, no read and no play returns a count that is too low', async () => {
    const { reporting, nats } = system
    await appendViews(nats, 300_000)
    await eventually(async () => expect(await views(reporting.url, 'asset', 'filler')).toBe(300_000))
    await expectCurrent(reporting.url)
    const playedAt = Array.from({ length: 5 }, () => -Infinity)
    await eventually(async () => {
      const playing = play(system.play.url, '456', USER)
      playedAt.push(-Infinity)
      expect((await playing).body).toMatchObject({ userviews: playedAt.length })
    })
    /** The number of plays that the counts must include to be current. */
    const leastViews = () => {
      const countedBy = performance.now() - MAX_LAG_MS
      return playedAt.filter((at) => at < countedBy).length
    }

    await reporting.signal('SIGKILL')
    await reporting.start()
    const refused = new Set<number>()
    const states = new Set<string>()
    for (let isCaughtUp = false; !isCaughtUp; ) {
      const least = leastViews()
      const body = Playback.parse((await play(system.play.url, '456', USER)).body)
      playedAt.push(performance.now())
      if (body.userviews === null) expect(body).toMatchObject({ assetviews: null, degraded: ['reporting'] })
      else expect(body.userviews).toBeGreaterThanOrEqual(least)
      isCaughtUp = body.userviews !== null
      for (const path of READS) {
        const response = await fetch(`${reporting.url}${path}`)
        if (response.status === 200) continue
        expect([response.status, response.headers.get('retry-after')]).toEqual([503, '1'])
        const problem: unknown = await response.json()
        expect(problem).toEqual(BEHIND)
        refused.add(CountsBehind.parse(problem).progress)
      }
      const { status, counting } = await readinessOf(reporting.url)
      expect(status).toBe('ready')
      states.add(String(counting?.state))
    }
    // The replay takes long enough for the test to observe rising progress.
    expect(refused.size).toBeGreaterThan(1)
    expect([...states]).toContain('replaying')
    expect(Math.max(...refused)).toBeLessThan(1)
    await eventually(async () => expect(await views(reporting.url, 'user', USER)).toBe(playedAt.length))
  })

  test('once queue-listener has been down for longer than MAX_LAG, reads and plays return no counts', async () => {
    const { reporting, listener } = system
    const before = await views(reporting.url, 'user', USER)
    await listener.signal('SIGSTOP')
    const [stoppedAt, runningAt] = [performance.now(), runningTime()]
    await eventually(async () => {
      for (const path of READS) {
        const response = await fetch(`${reporting.url}${path}`)
        expect([response.status, await response.json()]).toEqual([503, BEHIND])
      }
    })
    expect(performance.now() - stoppedAt).toBeGreaterThan(MAX_LAG_MS / 2)
    expect(runningTime() - runningAt).toBeLessThan(2 * MAX_LAG_MS)
    expect(await readinessOf(reporting.url)).toMatchObject({ status: 'ready', counting: { state: 'unknown' } })
    expect((await fetch(`${reporting.url}/healthz`)).status).toBe(200)
    const { status, body } = await play(system.play.url, '456', USER)
    expect([status, body]).toMatchObject([200, { userviews: null, assetviews: null, degraded: ['reporting'] }])
    expect(await statusOf()).toMatchObject({
      status: 'degraded',
      degraded: ['reporting'],
      parts: { reporting: { state: 'degraded', circuit: 'closed' }, 'queue-listener': { state: 'down' } },
    })

    await listener.start()
    await eventually(async () => expect(await views(reporting.url, 'user', USER)).toBe(before + 1))
    await eventually(async () => expect(await statusOf()).toMatchObject({ status: 'ready', degraded: [] }))
  })

  test('without traffic, the counts stay current for longer than MAX_LAG', async () => {
    for (const until = performance.now() + MAX_LAG_MS + 1_000; performance.now() < until; await sleep(50)) {
      expect((await readinessOf(system.reporting.url)).counting).toMatchObject({ state: 'current', progress: 1 })
    }
  })

  test('a standby keeps the counts current when the active queue-listener dies, even without traffic', async () => {
    const { listener, reporting } = system
    await using standby = await startService('queue-listener', system.env)
    await eventually(async () => {
      await play(system.play.url, '456', 'other')
      const all = [...standby.lines(), ...listener.lines()]
      expect(all.filter((line) => line.includes('standing by'))).not.toEqual([])
    })
    await eventually(async () => expect((await readinessOf(standby.url)).forwarding?.waiting).toBe(0))
    await listener.signal('SIGKILL')
    for (const until = performance.now() + 2 * MAX_LAG_MS; performance.now() < until; await sleep(50)) {
      expect((await readinessOf(reporting.url)).counting?.state).toBe('current')
    }
    await listener.start()
  })

  test('if reporting hangs, queue-listener and the system status are degraded within 8 s', async () => {
    const { reporting, listener } = system
    await reporting.signal('SIGSTOP')
    const stoppedAt = runningTime()
    await play(system.play.url, '456', USER)
    await eventually(async () => {
      expect(await statusOf()).toMatchObject({
        status: 'degraded',
        parts: { 'queue-listener': { state: 'degraded', stalled: true, waiting: 1 } },
      })
    })
    expect(runningTime() - stoppedAt).toBeLessThan(8_000)
    expect((await readinessOf(listener.url)).forwarding).toEqual({ state: 'stalled', waiting: 1 })
    expect(await (await fetch(`${listener.url}/metrics`)).text()).toContain('event_log_stalled 1\n')
    await reporting.start()
    await eventually(async () => expect(await statusOf()).toMatchObject({ status: 'ready', degraded: [] }))
    expect(await (await fetch(`${listener.url}/metrics`)).text()).toContain('event_log_stalled 0\n')
  })
})

describe.skipIf(!natsVersion)('a reporting instance that fails every batch', () => {
  test('degrades queue-listener and the system status within 8 s, although the instance is up', async () => {
    await using system = await startSystem()
    await using proxy = await startFailingProxy(system.reporting.url)
    await system.listener.signal('SIGTERM')
    await using listener = await startService(
      'queue-listener',
      { ...system.env, REPORTING_URL: proxy.url },
      portOf(system),
    )
    await eventually(async () => expect((await fetch(`${listener.url}/readyz`)).status).toBe(200))
    const playedAt = runningTime()
    await play(system.play.url, '456', USER)
    await eventually(async () => {
      const response = await fetch(`${listener.url}/readyz`)
      const forwarding = { state: 'stalled', waiting: 1 }
      expect([response.status, await response.json()]).toMatchObject([200, { status: 'degraded', forwarding }])
    })
    expect(runningTime() - playedAt).toBeLessThan(8_000)
    expect(await getJson(`${system.play.url}/status`)).toMatchObject({
      status: 'degraded',
      parts: { 'queue-listener': { state: 'degraded', stalled: true, waiting: 1 } },
    })
    await eventually(() => {
      expect(listener.lines().filter((line) => line.includes('counting has stalled'))).toHaveLength(1)
    })
  })
})

function portOf({ listener }: System): number {
  return Number(new URL(listener.url).port)
}

/** A proxy that forwards all requests to reporting, except batches with views, which get a 500. */
function startFailingProxy(reporting: string) {
  return startHttpServer(async (request, response) => {
    const body = request.method === 'POST' ? await text(request) : undefined
    const isBatch = body !== undefined && !body.includes('"views":[]')
    const headers = { 'content-type': 'application/json' }
    const init = { method: String(request.method), ...(body && { body, headers }) }
    const relayed = isBatch ? Response.json({}, { status: 500 }) : await fetch(`${reporting}${request.url}`, init)
    response.writeHead(relayed.status, headers).end(await relayed.text())
  })
}

describe('a reporting instance without queue-listener', () => {
  test('by default, serves counts of the views that it has received, right after startup', async () => {
    await using reporting = await startService('reporting')
    const counted = await fetch(`${reporting.url}/events/asset/456/user/8`, { method: 'POST' })
    expect(await counted.json()).toEqual({ userviews: 1, assetviews: 1 })
    expect(await getJson(`${reporting.url}/events/user/8`)).toEqual({ id: '8', views: 1, qualified: 0 })
    expect(await readinessOf(reporting.url)).toMatchObject({ counting: { state: 'current', progress: 1 } })
    const batch = { stream: 's', after: 0, through: 1, views: [] }
    expect((await fetch(`${reporting.url}/events`, jsonRequest(batch))).status).toBe(200)
    expect(await getJson(`${reporting.url}/events/user/8`)).toEqual({ id: '8', views: 1, qualified: 0 })
  })

  test.each([{ FED_BY_LOG: '1' }, { NATS_URL: 'nats://127.0.0.1:1' }])(
    'with %j, serves no counts before queue-listener sends a report',
    async (settings) => {
      await using reporting = await startService('reporting', settings)
      const response = await fetch(`${reporting.url}/events/user/8`)
      expect([response.status, await response.json()]).toEqual([503, { ...BEHIND, progress: 0 }])
    },
  )
})
