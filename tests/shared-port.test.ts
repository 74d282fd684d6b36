import { readdir } from 'node:fs/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { SystemTrace, TracedPlays } from '../shared/contracts/trace.ts'
import { startChild } from './harness/child.ts'
import { eventually } from './harness/eventually.ts'
import { natsVersion } from './harness/nats-server.ts'
import { getJson, views, warmUp } from './harness/plays.ts'
import { type ServiceProcess, startService } from './harness/service-process.ts'
import { metricOfAll, metricsOfEach, requestAnew } from './harness/shared-port.ts'
import { type System, startSystem } from './harness/system.ts'

const WAITING = /^outbox_waiting_views /
const BACKLOG = /^outbox_waiting_views [1-9]/m

describe.skipIf(!natsVersion)('with two play processes on one port,', () => {
  let system: System
  let second: ServiceProcess
  beforeAll(async () => {
    system = await startSystem({ REUSE_PORT: '1' })
    const { port } = new URL(system.play.url)
    second = await startService('play', shared(), Number(port))
    await warmUp(system.play.url)
  })
  afterAll(async () => {
    await second?.[Symbol.asyncDispose]()
    await system?.[Symbol.asyncDispose]()
  })

  const edge = () => system.play.url
  /** The settings for another play process with the same outboxes. */
  const shared = () => ({ ...system.env, DATA_DIR: system.dataDir })

  test('both processes serve plays', async () => {
    expect([...(await metricsOfEach(edge(), 2)).keys()].toSorted()).toEqual(
      [system.play.pid(), second.pid()].toSorted(),
    )
    await playOnEach('both', /^http_server_request_duration_seconds_count\{.*play\/asset.*"200"\} [1-9]/m)
  })

  test('each process lists the plays that either of them recorded', async () => {
    await eventually(async () => {
      const lists = new Set<string>()
      for (let n = 0; n < 12; n += 1) {
        const { status, text } = await requestAnew(`${edge()}/play/asset/456/user/listed-${n}`, 'POST')
        expect([status, text]).toEqual([200, expect.any(String)])
        const { traces } = TracedPlays.parse(JSON.parse((await requestAnew(`${edge()}/traces?limit=1`)).text))
        expect(traces).toMatchObject([{ userId: `listed-${n}` }])
        const trace = SystemTrace.parse(JSON.parse((await requestAnew(`${edge()}/traces/${traces[0]?.traceId}`)).text))
        expect(trace.spans.map(({ name }) => name)).toContain('send video.viewed')
        expect(trace.missing).toEqual([])
      }
      for (let n = 0; n < 8; n += 1) lists.add((await requestAnew(`${edge()}/traces?local=true`)).text)
      expect(lists.size).toBeGreaterThan(1)
    })
  })

  test('a third process, without REUSE_PORT, prints one line and exits with status 1', async () => {
    const { port } = new URL(edge())
    const env = { ...shared(), REUSE_PORT: '', LOG_LEVEL: 'silent' }
    await using third = startChild(process.execPath, ['play/main.ts', '--port', port], { env })
    expect(await third.ended).toBe(1)
    expect(third.lines).toEqual([`play: port ${port} on 127.0.0.1 is already in use`])
    expect((await outboxes()).length).toBeLessThanOrEqual(2)
  })

  test("a killed process's outbox is adopted by the other process, and its views are counted exactly once", async () => {
    await system.nats.signal('SIGKILL')
    const served = await playOnEach('adopted', BACKLOG)
    const files = await outboxes()
    expect(files).toHaveLength(2)
    const waiting = await metricOfAll(edge(), 2, WAITING)
    await second.signal('SIGKILL')
    // The adopting process reports the backlog even before the log is back up.
    await eventually(async () => expect(await metricOfAll(edge(), 1, WAITING)).toBe(waiting))
    expect(await getJson(`${edge()}/status`)).toMatchObject({ parts: { outbox: { state: 'up', waiting } } })
    await second.start()
    await system.nats.start()
    await eventually(async () => expect(await metricOfAll(edge(), 2, WAITING)).toBe(0))
    await eventually(async () => expect(await views(system.reporting.url, 'user', 'adopted')).toBe(served))
    expect(await getJson(`${system.reporting.url}/events/lost`)).toMatchObject({ gaps: [] })
    // The restarted process created a new outbox, because the adopting process still used the old one.
    expect(await outboxes()).toHaveLength(3)
  })

  test('if the adopting process is killed too, a process on another port adopts both outboxes', async () => {
    await system.nats.signal('SIGKILL')
    const served = await playOnEach('orphaned', BACKLOG)
    const waiting = await metricOfAll(edge(), 2, WAITING)
    await second.signal('SIGKILL')
    await eventually(async () => expect(await metricOfAll(edge(), 1, WAITING)).toBe(waiting))
    await system.play.signal('SIGKILL')
    await using moved = await startService('play', shared())
    await eventually(async () => expect(await metricOfAll(moved.url, 1, WAITING)).toBe(waiting))
    await system.nats.start()
    await eventually(async () => expect(await metricOfAll(moved.url, 1, WAITING)).toBe(0))
    await eventually(async () => expect(await views(system.reporting.url, 'user', 'orphaned')).toBe(served))
    expect(await getJson(`${system.reporting.url}/events/lost`)).toMatchObject({ gaps: [] })
    await Promise.all([system.play.start(), second.start()])
    await warmUp(edge())
  })

  /** Plays over new connections until the metrics of each process match `each`. Returns the number of plays. */
  async function playOnEach(user: string, each: RegExp): Promise<number> {
    let served = 0
    await eventually(async () => {
      const { status } = await requestAnew(`${edge()}/play/asset/456/user/${user}`, 'POST')
      expect(status).toBe(200)
      served += 1
      const metrics = await metricsOfEach(edge(), 2)
      for (const text of metrics.values()) expect(text).toMatch(each)
    })
    return served
  }

  async function outboxes(): Promise<string[]> {
    const names = await readdir(system.dataDir)
    return names.filter((name) => /^outbox-.*\.sqlite$/.test(name))
  }
})
