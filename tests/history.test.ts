import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { History } from '../shared/contracts/history.ts'
import { SystemStatus } from '../shared/contracts/system-status.ts'
import { eventually } from './harness/eventually.ts'
import { natsVersion } from './harness/nats-server.ts'
import { getJson, play, warmUp } from './harness/plays.ts'
import { repeatAfterPause } from './harness/running-time.ts'
import { type System, startSystem } from './harness/system.ts'

/** No page is open, so only the edge itself takes samples. */
describe.skipIf(!natsVersion)("the system's history", () => {
  let system: System
  beforeAll(async () => {
    system = await startSystem({ CATALOGUE_TTL: '1h' })
    await warmUp(system.play.url)
  })
  afterAll(() => system?.[Symbol.asyncDispose]())

  test('contains each play in the second in which it was recorded', async () => {
    await repeatAfterPause(async () => {
      const from = Date.now()
      for (let n = 0; n < 7; n += 1) await play(system.play.url, '456', `user-${n}`)
      const to = Date.now()
      await eventually(async () => {
        const { points } = await read()
        const during = points.filter(({ at }) => Date.parse(at) > from - 1_000 && Date.parse(at) <= to)
        expect(during.reduce((sum, { plays }) => sum + plays, 0)).toBeGreaterThanOrEqual(7)
      }, 10_000)
    })
  })

  test('after kill -9 of reporting and NATS, shows the outages from kill to restart, the restarts, the lag and the backlog', async () => {
    const killedAt = Date.now()
    await Promise.all([system.reporting.signal('SIGKILL'), system.nats.signal('SIGKILL')])
    await eventually(async () => {
      await play(system.play.url, '456', 'waiting')
      const history = await read()
      for (const name of ['reporting', 'events']) {
        expect(find(history, name)).toMatchObject({ state: 'down', to: null })
        expect(Date.parse(find(history, name).from) - killedAt).toBeLessThan(5_000)
      }
      expect(history.points.at(-1)?.backlog).toBeGreaterThan(0)
    })

    const startedAt = Date.now()
    await Promise.all([system.reporting.start(), system.nats.start()])
    await eventually(async () => {
      const history = await read()
      for (const name of ['reporting', 'events']) {
        expect(Date.parse(find(history, name).to ?? '')).toBeGreaterThan(startedAt)
      }
      const restarts = history.restarts.filter(({ service }) => service === 'reporting')
      expect(restarts).toHaveLength(1)
      expect(Date.parse(restarts[0]?.at ?? '')).toBeGreaterThan(killedAt)
      expect(history.points.at(-1)).toMatchObject({ backlog: 0, lagMs: 0 })
    })
  })

  test('shows that only the first play of an asset calls metadata, because later plays hit the cache', async () => {
    await play(system.play.url, '123', 'first')
    await eventually(async () => expect((await edgeTo('metadata'))?.calls).toBe(1))
    await eventually(async () => {
      await play(system.play.url, '123', 'second')
      const [metadata, reporting] = [await edgeTo('metadata'), await edgeTo('reporting')]
      expect(metadata).toMatchObject({ calls: 0, cached: expect.any(Number) })
      expect(reporting?.rate).toBeGreaterThan(0)
      expect(reporting?.p99Ms).toBeGreaterThan(0)
    })
    await eventually(async () => {
      const { traffic } = SystemStatus.parse(await getJson(`${system.play.url}/status`))
      const delivered = traffic?.edges.find(({ from, to }) => from === 'queue-listener' && to === 'reporting')
      expect(delivered).toMatchObject({ batch: expect.any(Number), p99Ms: expect.any(Number) })
    })
  })

  test('survives kill -9 of the edge, and shows the outage and the restart', async () => {
    const before = await read()
    await system.play.signal('SIGKILL')
    await new Promise((resolve) => setTimeout(resolve, 4_500))
    await system.play.start()
    const after = await eventually(async () => {
      const history = await read()
      expect(find(history, 'play')).toMatchObject({ state: 'down', reason: 'not running', to: expect.any(String) })
      expect(history.restarts.filter(({ service }) => service === 'play')).toHaveLength(1)
      return history
    })
    expect(after.since).toBe(before.since)
    expect(after.points.map(({ at }) => at)).toEqual(expect.arrayContaining([before.points.at(-1)?.at]))
  })

  test('has a gap while the edge is suspended, and does not show other services as down', async () => {
    const before = await eventually(async () => {
      const history = await read()
      expect(Date.now() - Date.parse(history.points.at(-1)?.at ?? '')).toBeLessThan(3_000)
      return history
    })
    await system.play.signal('SIGSTOP')
    const stoppedAt = Date.now()
    await new Promise((resolve) => setTimeout(resolve, 4_500))
    const resumedAt = Date.now()
    await system.play.signal('SIGCONT')
    await eventually(async () => {
      const { points, outages } = await read()
      expect(Date.parse(points.at(-1)?.at ?? '')).toBeGreaterThan(resumedAt + 2_000)
      const inside = points.filter(({ at }) => Date.parse(at) > stoppedAt && Date.parse(at) < resumedAt - 1_000)
      expect(inside).toEqual([])
      const added = outages.slice(before.outages.length).filter(({ from }) => Date.parse(from) < resumedAt)
      expect(added).toMatchObject([{ service: 'play', reason: 'suspended or blocked' }])
    })
  })

  async function read(): Promise<History> {
    return History.parse(await getJson(`${system.play.url}/history?range=5m`))
  }

  /** The calls from play to an upstream in the last few seconds. */
  async function edgeTo(upstream: string) {
    const { traffic } = SystemStatus.parse(await getJson(`${system.play.url}/status`))
    return traffic?.edges.find(({ from, to }) => from === 'play' && to === upstream)
  }
})

/** A service's last outage. */
function find({ outages }: History, name: string) {
  const found = outages.findLast(({ service, state }) => service === name && state === 'down')
  if (!found) throw new Error(`${name} has had no outage`)
  return found
}
