import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { jsonRequest } from '../shared/testing/json-request.ts'
import { expectCurrent, readinessOf } from './harness/counting.ts'
import { eventually } from './harness/eventually.ts'
import { subscribeLive } from './harness/live-subscriber.ts'
import { natsVersion } from './harness/nats-server.ts'
import { expectCounted, startPlayers } from './harness/players.ts'
import { getJson, metric, play, views, warmUp } from './harness/plays.ts'
import { hasPostgres } from './harness/postgres.ts'
import { type PostgresSystem, startPostgresSystem } from './harness/postgres-system.ts'
import { runningTime } from './harness/running-time.ts'

describe.skipIf(!natsVersion || !hasPostgres)('two reporting instances that share one Postgres', () => {
  let system: PostgresSystem
  beforeAll(async () => {
    system = await startPostgresSystem()
    await warmUp(system.play.url)
  })
  afterAll(() => system?.[Symbol.asyncDispose]())

  const both = () => [system.reporting.url, system.second.url]

  test('serve the same counts, top list, position and readiness', async () => {
    for (const user of ['u', 'v', 'u']) expect((await play(system.play.url, '456', user)).status).toBe(200)
    for (const url of both()) {
      await eventually(async () => expect(await views(url, 'user', 'u')).toBe(2))
      expect(await readinessOf(url)).toMatchObject({
        status: 'ready',
        dependencies: { postgres: 'up' },
        counting: { state: 'current', progress: 1 },
      })
      expect(await metricsOf(url)).toMatch(/^database_connections{state="busy"} \d/m)
    }
    const lookup = jsonRequest({ assets: ['456', 'x'], users: ['u', 'v'] })
    const paths = ['/events/asset/456', '/events/top?by=user&limit=5', '/events/position', '/events/lost']
    const read = async (url: string) => [
      ...(await Promise.all(paths.map((path) => getJson(url + path)))),
      await (await fetch(`${url}/events/lookup`, lookup)).json(),
    ]
    const [first, second] = await Promise.all(both().map(read))
    expect(second).toEqual(first)
    expect(first?.at(-1)).toMatchObject({ users: { u: 2, v: 1 } })
  })

  test('publish the same live counts', async () => {
    await using first = await subscribeLive(`${system.reporting.url}/events/live`)
    await using other = await subscribeLive(`${system.second.url}/events/live`)
    for (const { seen } of [first, other]) await eventually(() => expect(seen()).toBeDefined())
    for (let n = 0; n < 5; n += 1) expect((await play(system.play.url, '123', 'live')).status).toBe(200)
    for (const { seen } of [first, other]) {
      await eventually(() => expect(seen()?.users).toContainEqual(expect.objectContaining({ id: 'live', views: 5 })))
    }
    expect(other.seen()).toEqual(first.seen())
  })

  test('count each play exactly once, even if an instance is killed, and Postgres is killed and later hangs', async () => {
    const { play: edge, postgres, reporting, second } = system
    const players = startPlayers(edge.url, { count: 8, seed: 1 })
    const probe = keepProbing(edge.url)
    await sleep(500)
    await reporting.signal('SIGKILL')
    await sleep(1_000)
    await reporting.start()
    await postgres.signal('SIGKILL')
    await sleep(1_000)
    await postgres.start()
    await sleep(1_000)
    await postgres.signal('SIGSTOP')
    await sleep(2_000)
    await second.signal('SIGTERM')
    expect(await second.ended()).toBe(0)
    await postgres.start()
    await second.start()
    await sleep(500)
    const { statuses, slowestMs } = await probe.stop()
    const outcomes = await players.stop()
    expect([...statuses]).toEqual([200])
    expect(slowestMs).toBeLessThan(1_000)
    await eventually(async () => expect(await metric(edge.url, /^outbox_waiting_views /)).toBe(0))
    for (const url of both()) {
      await expectCurrent(url)
      await eventually(() => expectCounted(url, 'user', outcomes.users))
      expect(await getJson(`${url}/events/lost`)).toEqual({ views: 0, gaps: [] })
    }
  })

  test('return 503 for reads while Postgres is down; plays get no counts, and views wait in the log', async () => {
    const { play: edge, postgres, reporting } = system
    const before = await views(reporting.url, 'user', 'waiting')
    await postgres.signal('SIGKILL')
    await eventually(async () => {
      expect(await readinessOf(reporting.url)).toMatchObject({
        status: 'not ready',
        dependencies: { postgres: 'down' },
        reasons: { postgres: expect.stringContaining('ECONNREFUSED') },
      })
    })
    expect(await play(edge.url, '456', 'waiting')).toMatchObject({
      status: 200,
      body: { userviews: null, assetviews: null, degraded: ['reporting'] },
    })
    expect((await fetch(`${reporting.url}/events/user/waiting`)).status).toBe(503)
    expect((await fetch(`${reporting.url}/events/position`)).status).toBe(503)
    expect((await fetch(`${reporting.url}/healthz`)).status).toBe(200)
    expect(await metricsOf(reporting.url)).toMatch(/^counted_views_total{.*} \d/m)
    await postgres.start()
    await eventually(async () => expect(await views(reporting.url, 'user', 'waiting')).toBe(before + 1))
    await warmUp(edge.url)
  })
})

async function metricsOf(service: string): Promise<string> {
  return (await fetch(`${service}/metrics`)).text()
}

/** Plays repeatedly, and measures how long the slowest play takes. */
function keepProbing(edge: string) {
  const statuses = new Set<number>()
  let slowestMs = 0
  let isOver = false
  const probing = (async () => {
    while (!isOver) {
      const startedAt = runningTime()
      statuses.add((await play(edge, '456', 'probe')).status)
      slowestMs = Math.max(slowestMs, runningTime() - startedAt)
      await sleep(20)
    }
  })()
  return {
    async stop() {
      isOver = true
      await probing
      return { statuses, slowestMs }
    },
  }
}
