import { setTimeout as sleep } from 'node:timers/promises'
import { Agent, request } from 'undici'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Child, startChild } from './harness/child.ts'
import { eventually } from './harness/eventually.ts'
import { natsVersion } from './harness/nats-server.ts'
import { metric, views, warmUp } from './harness/plays.ts'
import { runningTime } from './harness/running-time.ts'
import { type ServiceProcess, startService } from './harness/service-process.ts'
import { type System, startSystem } from './harness/system.ts'
import { startTcpProxy } from './harness/tcp-proxy.ts'

const FLOOD_SECONDS = 10
const PLAY_SECONDS = 6
/** Low enough for the flood to reach 12 times this rate even on a slow machine. */
const PLAYS_PER_SECOND = 40
/** Open loop up to a limit: a process sends nothing while all its connections wait for a response. */
const FLOOD = { processes: 2, connections: 300, perSecond: 750 }
/** The delay between play and reporting keeps more prefetches in flight than play admits, even on a fast machine. */
const DELAY_MS = 75

describe.skipIf(!natsVersion)('a flood of prefetches', () => {
  const stack = new AsyncDisposableStack()
  let system: System
  let edge: ServiceProcess
  beforeAll(async () => {
    system = stack.use(await startSystem())
    const proxy = stack.use(await startTcpProxy(system.reporting.url, DELAY_MS))
    edge = stack.use(await startService('play', { ...system.env, REPORTING_URL: proxy.url }))
    await warmUp(edge.url)
  })
  afterAll(() => stack.disposeAsync())

  test('at 12 times the rate of plays is partly shed, and more than 99% of the plays are served within a second', async () => {
    const flood = Array.from({ length: FLOOD.processes }, () => startFlood(edge.url))
    await eventually(async () => expect(await shed('prefetch')).toBeGreaterThan(0))
    const before = await prefetches()
    const plays = await playSteadily(`${edge.url}/play/asset/456/user/steady`)
    expect((await prefetches()) - before).toBeGreaterThan(12 * plays.length)
    await Promise.all(flood.map(({ ended }) => ended))

    const served = plays.filter(({ status }) => status === 200)
    expect(served.filter(({ ms }) => ms < 1_000).length / plays.length).toBeGreaterThan(0.99)
    expect(await shed('plays')).toBe(0)
    await eventually(async () => expect(await views(system.reporting.url, 'user', 'steady')).toBe(served.length))
    expect(await views(system.reporting.url, 'user', 'flood')).toBe(0)
    expect(edge.lines().filter((line) => line.includes('too many prefetches')).length).toBeLessThan(2 * FLOOD_SECONDS)
  })

  const shed = (priority: string) => metric(edge.url, new RegExp(`^shed_requests_total{priority="${priority}"}`))
  const prefetches = async () => (await metric(edge.url, /^prefetched_plays_total /)) + (await shed('prefetch'))
})

/** Sends prefetches from a separate process, so that generating them does not delay the plays. */
function startFlood(edge: string): Child {
  const { connections, perSecond } = FLOOD
  return startChild('node_modules/.bin/autocannon', [
    ...['--connections', String(connections), '--overallRate', String(perSecond), '--duration', String(FLOOD_SECONDS)],
    ...['--method', 'POST', '--headers', 'sec-purpose=prefetch', '--no-progress'],
    `${edge}/play/asset/456/user/flood`,
  ])
}

type Timed = { status: number; ms: number }

/** Open loop: no play waits for the response to an earlier play. */
async function playSteadily(url: string): Promise<Timed[]> {
  const agent = new Agent({ connections: 200 })
  const plays: Promise<Timed>[] = []
  const startedAt = performance.now()
  for (let n = 0; n < PLAYS_PER_SECOND * PLAY_SECONDS; n += 1) {
    await sleep(Math.max(0, startedAt + (n * 1_000) / PLAYS_PER_SECOND - performance.now()))
    plays.push(timePlay(url, agent))
  }
  return Promise.all(plays).finally(() => agent.close())
}

async function timePlay(url: string, dispatcher: Agent): Promise<Timed> {
  const startedAt = runningTime()
  const { statusCode: status, body } = await request(url, { method: 'POST', dispatcher })
  await body.dump()
  return { status, ms: runningTime() - startedAt }
}
