import { pino } from 'pino'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { LostViews } from '../shared/contracts/lost-views.ts'
import { createJetStreamEventLog } from '../shared/event-log/jetstream-event-log.ts'
import { STREAM } from '../shared/event-log/stream.ts'
import { openNatsLink } from '../shared/nats/link.ts'
import { describeOutage, type StreamInfo } from '../shared/nats/quorum.ts'
import { isAtLeast, REPLICATING_VERSION } from '../shared/nats/server-version.ts'
import { sleep } from '../shared/runtime/sleep.ts'
import { jsonRequest } from '../shared/testing/json-request.ts'
import { startChild } from './harness/child.ts'
import { readinessOf } from './harness/counting.ts'
import { eventually } from './harness/eventually.ts'
import { type ClusterServer, type NatsCluster, startNatsCluster } from './harness/nats-cluster.ts'
import { natsVersion } from './harness/nats-server.ts'
import { expectCounted, startPlayers, sum } from './harness/players.ts'
import { getJson, metric, play, views } from './harness/plays.ts'
import { runningTime } from './harness/running-time.ts'
import { startService } from './harness/service-process.ts'
import { type System, startSystem } from './harness/system.ts'

const log = pino({ level: 'silent' })

const MAX_PLAY_MS = 1_000

/** The maximum time until services report that the log has lost its majority. On an idle machine, it takes up to 3 s. */
const DETECT_MS = 5_000

/** The maximum time from the election of a leader until views are counted. */
const RESUME_MS = 5_000

/** A replica starts an election 4 to 9 s after it last heard from the leader. An election may fail. */
const ELECTION_MS = 30_000

const isReplicating = natsVersion !== undefined && isAtLeast(natsVersion, REPLICATING_VERSION)

describe.skipIf(!isReplicating)('on a cluster of three NATS servers,', { timeout: 90_000 }, () => {
  const stack = new AsyncDisposableStack()
  let nats: NatsCluster
  let system: System
  beforeAll(async () => {
    nats = stack.use(await startNatsCluster())
    system = stack.use(await startSystem({ NATS_URL: nats.url, EVENTS_REPLICAS: '3' }))
    await expectReplicated()
    // Puts both assets into play's cache.
    for (const asset of ['123', '456']) {
      await eventually(async () => expect(await play(system.play.url, asset, 'warm')).toMatchObject({ status: 200 }))
    }
  })
  afterEach(async () => {
    for (const server of nats?.servers ?? []) await server.start()
  })
  afterAll(() => stack.disposeAsync())

  const infoOf = (name: string): Promise<StreamInfo> =>
    nats.use(async (connection) => (await connection.jetstreamManager({ timeout: 1_000 })).streams.info(name))

  const expectReplicated = (names = [STREAM, 'KV_metadata', 'KV_cdnurl']) =>
    eventually(async () => {
      for (const name of names) {
        const { config, cluster } = await infoOf(name)
        expect(config.num_replicas).toBe(3)
        expect(cluster?.replicas?.map(({ current }) => current)).toEqual([true, true])
      }
    }, ELECTION_MS)

  async function leader(): Promise<ClusterServer> {
    const { cluster } = await infoOf(STREAM)
    const found = nats.servers.find(({ name }) => name === cluster?.leader)
    if (!found) throw new Error('the stream has no leader')
    return found
  }

  const outage = () => infoOf(STREAM).then((info) => describeOutage(info, STREAM), String)

  let probes = 0
  /** Waits until a new view is counted. @returns the milliseconds since the stream got a leader */
  async function resumed(): Promise<number> {
    probes += 1
    const user = `probe-${probes}`
    expect(await play(system.play.url, '456', user)).toMatchObject({ status: 200 })
    let leaderlessAt = runningTime()
    await eventually(async () => {
      if ((await outage()) !== undefined) leaderlessAt = runningTime()
      expect(await views(system.reporting.url, 'user', user)).toBe(1)
    }, ELECTION_MS)
    console.log(`resumed ${Math.round(runningTime() - leaderlessAt)} ms after the stream got a leader`)
    return runningTime() - leaderlessAt
  }

  /** Runs `fault` under load. Verifies that every play is served in time, and counted exactly once. */
  async function underLoad(prefix: string, fault: () => Promise<void>): Promise<void> {
    const players = startPlayers(system.play.url, { count: 4, seed: 1, prefix })
    await sleep(300)
    const { users, slowestMs } = await fault().then(players.stop, async (error) => {
      await players.stop()
      throw error
    })
    expect(slowestMs).toBeLessThan(MAX_PLAY_MS)
    const { cutOff, rejected, served } = sum(users)
    expect({ cutOff, rejected }).toEqual({ cutOff: 0, rejected: 0 })
    expect(served).toBeGreaterThan(100)
    await eventually(() => expectCounted(system.reporting.url, 'user', users), ELECTION_MS)
  }

  test('the stream is replicated and compressed, and the buckets are replicated', async () => {
    expect((await infoOf(STREAM)).config).toMatchObject({ num_replicas: 3, compression: 's2' })
    for (const kind of ['wanted', 'configured', 'online']) {
      const replicas = () => metric(system.listener.url, new RegExp(`^event_log_replicas{kind="${kind}"} `))
      await eventually(async () => expect(await replicas()).toBe(3))
    }
  })

  test("counting resumes after kill -9 of each server in turn, the stream's leader first", async () => {
    const first = await leader()
    await underLoad('killed-', async () => {
      for (const server of [first, ...nats.servers.filter((other) => other !== first)]) {
        await server.signal('SIGKILL')
        expect(await resumed()).toBeLessThan(RESUME_MS)
        if (server === first) expect(await runDoctor()).toContain(`the replica of EVENTS on ${first.name} is offline`)
        await server.start()
        await expectReplicated([STREAM])
      }
    })
    await expectReplicated()
  })

  test("counting resumes while the stream's leader is suspended", async () => {
    const suspended = await leader()
    await underLoad('suspended-', async () => {
      await suspended.signal('SIGSTOP')
      expect(await resumed()).toBeLessThan(RESUME_MS)
      await suspended.signal('SIGCONT')
    })
    await expectReplicated()
  })

  test('without a majority, plays go to the outbox, writes get a 503, and every service reports the reason', async () => {
    const kept = await leader()
    const suspended = nats.servers.filter((server) => server !== kept)
    const services = [system.play, system.listener, system.metadata, system.cdnurl]
    await using link = openNatsLink({ servers: [kept.url], name: 'test', log })
    await using idle = createJetStreamEventLog({ nats: link, log })
    await eventually(() => expect(idle.state()).toBe('up'))
    await underLoad('minority-', async () => {
      for (const server of suspended) await server.signal('SIGSTOP')
      // The stream's leader still responds to everything except appends. `idle` never appends, so it can detect the
      // outage only from the replicas' state.
      await eventually(() => expect(idle.reason?.()).toMatch(/has no majority: 1 of 3 replicas respond$/), DETECT_MS)
      expect(link.state()).toBe('up')
      await eventually(async () => {
        for (const { url } of services) {
          expect(await readinessOf(url)).toMatchObject({
            dependencies: { nats: 'down' },
            reasons: { nats: expect.stringMatching(/leader|the server does not respond/) },
          })
        }
      }, DETECT_MS)
      // A service that was connected to a suspended server reconnects to the remaining server.
      await eventually(async () => {
        for (const { url } of services) expect((await readinessOf(url)).reasons?.nats).toMatch(/leader/)
      }, DETECT_MS)
      expect((await readinessOf(system.play.url)).status).toBe('ready')
      expect((await readinessOf(system.listener.url)).status).toBe('not ready')
      const asset = `${system.metadata.url}/content/asset/456`
      const fields = { title: 'Another', genre: 'drama', summary: '' }
      expect((await fetch(asset, jsonRequest(fields))).status).toBe(503)
      expect(await getJson(asset)).toMatchObject({ title: 'Terminator' })
      expect(await metric(system.play.url, /^outbox_waiting_views /)).toBeGreaterThan(0)
      expect(await runDoctor()).toMatch(/^FAIL +log .*leader/m)
      for (const server of suspended) await server.signal('SIGCONT')
      expect(await resumed()).toBeLessThan(RESUME_MS)
    })
    await expectReplicated()
    await eventually(async () => {
      for (const { url } of services) expect(await readinessOf(url)).toMatchObject({ dependencies: { nats: 'up' } })
    }, ELECTION_MS)
  })

  test('counting resumes after each step of a rolling restart, and nothing is lost or stored twice', async () => {
    await underLoad('rolling-', async () => {
      for (const server of nats.servers) {
        await server.signal('SIGTERM')
        await server.start()
        expect(await resumed()).toBeLessThan(RESUME_MS)
        await expectReplicated([STREAM])
      }
    })
    expect(LostViews.parse(await getJson(`${system.reporting.url}/events/lost`)).views).toBe(0)
    expect(await metric(system.reporting.url, /^duplicate_views_total /)).toBe(0)
  })

  test('if two queue-listeners have different EVENTS_REPLICAS, the last one to start wins, and the other reports the conflict', async () => {
    const settings = { ...system.env, EVENTS_REPLICAS: '2' }
    await using _ = await startService('queue-listener', settings)
    const problem = 'EVENTS_REPLICAS is 3, but EVENTS has 2 replicas: set the same EVENTS_REPLICAS for all services'
    await eventually(async () => expect((await readinessOf(system.listener.url)).problems?.nats).toContain(problem))
    expect(await getJson(`${system.play.url}/status`)).toMatchObject({
      parts: { 'queue-listener': { problem: expect.stringContaining(problem) } },
    })
    // Both queue-listeners check the stream every second.
    await sleep(2_500)
    expect((await infoOf(STREAM)).config.num_replicas).toBe(2)
    expect(system.listener.lines().filter((line) => line.includes(problem))).toHaveLength(1)
  })

  async function runDoctor(): Promise<string> {
    const env = { ...system.env, PLAY_URL: system.play.url }
    await using child = startChild(process.execPath, ['scripts/doctor/main.ts'], { env })
    await child.ended
    return child.lines.join('\n')
  }
})
