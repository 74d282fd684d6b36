import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { describe, expect, test } from 'vitest'
import type { ServiceName } from '../services.ts'
import { DeadLetterPage } from '../shared/contracts/dead-letter.ts'
import { STREAM } from '../shared/event-log/stream.ts'
import { jsonRequest } from '../shared/testing/json-request.ts'
import { runAudit } from './harness/audit-command.ts'
import { runDeadLetters } from './harness/dead-letters-command.ts'
import { mapServices } from './harness/each-service.ts'
import { eventually } from './harness/eventually.ts'
import { playAs } from './harness/keyed-plays.ts'
import { natsVersion, startNatsServer } from './harness/nats-server.ts'
import { expectCounted, startPlayers, sum } from './harness/players.ts'
import { getJson, metric, play, views, warmUp } from './harness/plays.ts'
import { freePortRange, portNextTo, urlSettingsNextTo } from './harness/ports.ts'
import { publishRaw } from './harness/raw-messages.ts'
import { checkOutReleased, hasReleased } from './harness/released.ts'
import { withResources } from './harness/resources.ts'
import { type ServiceProcess, startService } from './harness/service-process.ts'
import { createTempDirectory } from './harness/temp-directory.ts'

type Release = '0.1.0' | 'current'

/** Starts a system in which services may run different releases. An upgraded service keeps its port and DATA_DIR. */
async function startMixedSystem(releaseOf: (name: ServiceName) => Release) {
  await using stack = new AsyncDisposableStack()
  const released = stack.use(await checkOutReleased())
  const nats = stack.use(await startNatsServer())
  const DATA_DIR = stack.use(await createTempDirectory('upgrade')).path
  const edgePort = await freePortRange()
  // Without a checkpoint, reporting counts the log from its start, as reporting 0.1.0 does.
  const env = { NATS_URL: nats.url, ...urlSettingsNextTo(edgePort), DATA_DIR, CHECKPOINT_EVERY: '0s' }
  const processes = stack.use(new AsyncDisposableStack())
  const start = async (name: ServiceName, release: Release): Promise<ServiceProcess> => {
    const port = portNextTo(edgePort, name)
    const isCurrent = release === 'current' || !released.has(name)
    return processes.use(await (isCurrent ? startService : released.start)(name, env, port))
  }
  const services = await mapServices((name) => start(name, releaseOf(name)))
  // Wait until queue-listener has created the log. Otherwise, play might create it.
  await eventually(() => nats.use(async (connection) => (await connection.jetstreamManager()).streams.info(STREAM)))
  const stop = (name: ServiceName) => services[name].signal('SIGTERM')
  const system = {
    nats,
    env,
    edge: services.play.url,
    reporting: services.reporting.url,
    listener: services['queue-listener'].url,
    outbox: join(DATA_DIR, `outbox-${edgePort}.sqlite`),
    stop,
    async start(name: ServiceName) {
      services[name] = await start(name, 'current')
    },
    async upgrade(name: ServiceName) {
      await stop(name)
      services[name] = await start(name, 'current')
    },
  }
  return withResources(system, stack)
}

describe.skipIf(!natsVersion || !hasReleased)('an upgrade from release 0.1.0', { timeout: 120_000 }, () => {
  test('in the documented order, under load, counts every play once, including those in an outbox', async () => {
    await using system = await startMixedSystem(() => '0.1.0')
    const { edge, reporting, nats } = system
    await warmUp(edge)
    // With `count: 1`, startPlayers sends no idempotency keys, which 0.1.0 would ignore.
    const players = [1, 2, 3, 4].map((seed) => startPlayers(edge, { count: 1, seed, prefix: `${seed}-` }))
    const countedSoFar = () => eventually(() => views(reporting, 'asset', '456'))
    async function expectMoreCounted(): Promise<void> {
      const before = await countedSoFar()
      await eventually(async () => expect(await countedSoFar()).toBeGreaterThan(before + 10))
    }
    await expectMoreCounted()
    for (const names of [['reporting'], ['queue-listener'], ['metadata', 'cdnurl']] as const) {
      await Promise.all(names.map(system.upgrade))
      await expectMoreCounted()
    }
    await nats.signal('SIGKILL')
    await eventually(async () => expect(await metric(edge, /^outbox_waiting_views/)).toBeGreaterThan(10))
    await system.stop('play')
    expect(waitingIn(system.outbox)).toBeGreaterThan(10)
    await nats.start()
    await system.start('play')
    await expectMoreCounted()

    for (const { users, assets } of await Promise.all(players.map((player) => player.stop()))) {
      expect(sum(assets).served).toBeGreaterThan(20)
      await eventually(() => expectCounted(reporting, 'user', users))
    }
    // Views that 0.1.0 forwarded have their batch's position until a restart makes reporting recount the log.
    await system.upgrade('reporting')
    await eventually(async () => expect(await runAudit(system.env)).toMatchObject({ status: 0 }))
  })

  test('in the reverse order, counts plays once; a view in the same batch as a watch report is counted when its dead letter is replayed', async () => {
    await using system = await startMixedSystem((name) => (name === 'play' ? 'current' : '0.1.0'))
    const { edge, reporting, listener, nats, env } = system
    const expectViews = (user: string, expected: number) =>
      eventually(async () => expect(await views(reporting, 'user', user)).toBe(expected))
    await warmUp(edge)
    const played = await Promise.all(Array.from({ length: 20 }, () => playAs(edge, 'viewer', {})))
    expect(played.every(({ status }) => status === 200)).toBe(true)
    await expectViews('viewer', 20)
    await system.upgrade('reporting')
    await expectViews('viewer', 20)

    const watched = jsonRequest({ assetId: '456', userId: 'viewer', seconds: 31 })
    expect((await fetch(`${edge}/play/watched/${played[0]?.viewId}`, watched)).status).toBe(202)
    const events = [toEvent('video.viewed', {}), toEvent('video.watched', { viewId: 'any', seconds: 1 })]
    await publishRaw(nats, [JSON.stringify(events)])
    expect((await play(edge, '456', 'viewer')).status).toBe(200)
    await expectViews('viewer', 21)
    await expectViews('television', 0)

    await system.upgrade('queue-listener')
    const deadLetters = await eventually(async () => {
      const page = DeadLetterPage.parse(await getJson(`${listener}/dead-letters`))
      expect(page.deadLetters).toHaveLength(2)
      return page.deadLetters
    })
    for (const { sequence } of deadLetters) {
      expect(await runDeadLetters(env, 'replay', String(sequence))).toMatchObject({ status: 0 })
    }
    await expectViews('television', 1)
    await expectViews('viewer', 21)
    expect(await getJson(`${reporting}/events/lost`)).toEqual({ views: 0, gaps: [] })
    // After this restart, reporting recounts the log that both releases wrote.
    await system.upgrade('reporting')
    await eventually(async () => expect(await runAudit(env)).toMatchObject({ status: 0 }))
    await expectViews('television', 1)
    await expectViews('viewer', 21)
  })
})

function toEvent(type: string, data: object) {
  const about = { assetId: '456', userId: 'television', ...data }
  return { specversion: '1.0', id: type, source: '/tv', type, data: about }
}

/** The number of views in an outbox that no process has open. */
function waitingIn(file: string): number {
  using db = new DatabaseSync(file, { readOnly: true })
  return Number(db.prepare('SELECT sum(count) AS size FROM waiting').get()?.size)
}
