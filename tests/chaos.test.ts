import { setTimeout as sleep } from 'node:timers/promises'
import type { StoredMsg } from 'nats'
import { describe, expect, test } from 'vitest'
import { Audit, accountedViews } from '../shared/contracts/audit.ts'
import { LostViews } from '../shared/contracts/lost-views.ts'
import { Position } from '../shared/contracts/position.ts'
import { STREAM, VIEWS } from '../shared/event-log/stream.ts'
import { runAudit } from './harness/audit-command.ts'
import { serviceNames } from './harness/each-service.ts'
import { eventually } from './harness/eventually.ts'
import { startGuards } from './harness/guarded-edge.ts'
import { type NatsCluster, startNatsCluster } from './harness/nats-cluster.ts'
import { natsVersion } from './harness/nats-server.ts'
import { expectCounted, startPlayers, sum } from './harness/players.ts'
import { getJson, metric, toBearer } from './harness/plays.ts'
import { createPoison } from './harness/poison.ts'
import { freePort } from './harness/ports.ts'
import { hasPostgres } from './harness/postgres.ts'
import { type PostgresSystem, startPostgresSystem } from './harness/postgres-system.ts'
import { createRandom } from './harness/random.ts'
import { connectRaw } from './harness/raw-nats.ts'
import { type ServiceProcess, startService } from './harness/service-process.ts'
import { metricOfAll } from './harness/shared-port.ts'
import { type System, startSystem } from './harness/system.ts'

const seed = Number(process.env.CHAOS_SEED || Math.floor(Math.random() * 1_000_000))
const seconds = Number(process.env.CHAOS_SECONDS || 30)
const PLAYERS = 24
/** `maps` (in memory), or `postgres` (shared by two instances). If unset, both run, `postgres` for half as long. */
const onlyStore = process.env.CHAOS_STORE || undefined
/** `open`, or `guarded` (with every protection of the edge). If unset, `maps` is `open` and `postgres` is `guarded`. */
const onlyEdge = process.env.CHAOS_EDGE || undefined
const stores = [
  { store: 'maps', edge: onlyEdge ?? 'open', duration: seconds, canRun: true },
  { store: 'postgres', edge: onlyEdge ?? 'guarded', duration: onlyStore ? seconds : seconds / 2, canRun: hasPostgres },
].filter(({ store, canRun }) => canRun && store === (onlyStore ?? store))
/** True for a cluster of three NATS servers, which needs nats-server 2.10 or later. */
const isClustered = process.env.CHAOS_NATS === 'cluster'
const SETTLE_MS = 60_000

type Broker = Pick<NatsCluster, 'servers' | 'use'>

describe.skipIf(!natsVersion).each(stores)(
  'during chaos (store: $store, edge: $edge),',
  ({ store, edge, duration: seconds }) => {
    const name = `every play with a 200 is counted, whatever is killed, suspended, cut off, poisoned or stored twice (CHAOS_SEED=${seed}, ${seconds} s)`
    test(name, { timeout: seconds * 1_000 + SETTLE_MS * 2 }, async () => {
      await using cluster = isClustered ? await startNatsCluster() : undefined
      const clustered = cluster && { NATS_URL: cluster.url, EVENTS_REPLICAS: '3' }
      await using guards = edge === 'guarded' ? await startGuards() : undefined
      const { authorize, readToken: token } = guards ?? {}
      const settings = { CHECKPOINT_EVERY: '1s', REUSE_PORT: '1', ...clustered, ...guards?.settings }
      await using system =
        store === 'maps'
          ? await startSystem(settings, { proxied: {} })
          : await startPostgresSystem(settings, { proxied: {} })
      const nats: Broker = cluster ?? { servers: [{ name: 'nats', ...system.nats }], use: system.nats.use }
      const ports = guards && [guards.settings.OPS_PORT, String(await freePort())]
      const shared = { ...system.env, DATA_DIR: system.dataDir, ...(ports && { OPS_PORT: ports[1] ?? '' }) }
      await using second = await startService('play', shared, Number(new URL(system.play.url).port))
      await eventually(async () => expect((await fetch(`${system.play.url}/readyz`)).ok).toBe(true))
      const players = startPlayers(system.play.url, { count: PLAYERS, seed, ...(authorize && { authorize }) })
      await eventually(() => readLastMessage(nats), SETTLE_MS)
      const audits = watchAudits(system.reporting.url, token)
      const actions = await breakThings(system, { nats, second, seconds })
      await expectToKeepUp(system, nats, token)
      const outcomes = await players.stop()
      await expectSettled(system, nats, { ports, token })

      const total = sum(outcomes.users)
      console.log(
        `chaos (store: ${store}, edge: ${edge}${isClustered ? ', clustered' : ''}): seed ${seed}, ${actions} faults in ${seconds} s, nats-server ${natsVersion}: ` +
          `${total.served} plays with a 200, ${total.cutOff} cut off, ${total.rejected} rejected`,
      )
      expect(total.served).toBeGreaterThan(100)
      await expectCounted(system.reporting.url, 'user', outcomes.users, { token })
      await expectCounted(system.reporting.url, 'asset', outcomes.assets, { token })
      const { gaps } = LostViews.parse(await getJson(`${system.reporting.url}/events/lost`, token))
      expect(gaps.filter(({ producer }) => producer !== 'poison')).toEqual([])
      expect(await audits.stop()).toBeGreaterThan(0)
      expect(await runAudit(system.env)).toMatchObject({ status: 0, text: expect.stringContaining('reporting agrees') })
      expect(system.listener.lines().join('\n')).not.toContain('reporting refuses a valid batch')
    })
  },
)

const AUDIT_INTERVAL_MS = 100

/** Reads audits continuously, and verifies that their numbers add up. stop() returns the number of audits. */
function watchAudits(reporting: string, token: string | undefined) {
  const stopping = new AbortController()
  async function watch(): Promise<number> {
    let audits = 0
    while (!stopping.signal.aborted) {
      // reporting may be down or suspended.
      const signal = AbortSignal.any([stopping.signal, AbortSignal.timeout(1_000)])
      const response = await fetch(`${reporting}/events/audit`, { signal, headers: toBearer(token) }).catch(
        () => undefined,
      )
      const json = response?.ok && (await response.json().catch(() => undefined))
      if (json) {
        const audit = Audit.parse(json)
        expect([accountedViews(audit), audit.pending], JSON.stringify(json)).toEqual([audit.views, 0])
        audits += 1
      }
      await sleep(AUDIT_INTERVAL_MS)
    }
    return audits
  }
  const watching = watch()
  return {
    stop() {
      stopping.abort()
      return watching
    },
  }
}

/**
 * Injects one fault after another into a system with two play processes on one port: kills or suspends one or two
 * processes for up to 3 s, suspends all of NATS for 5 to 30 s, cuts connections in the middle of a batch, appends
 * random messages, or stores messages twice. The seed determines the order. At the end, all processes are up.
 */
async function breakThings(
  system: System | PostgresSystem,
  { nats, second, seconds }: { nats: Broker; second: ServiceProcess; seconds: number },
): Promise<number> {
  const random = createRandom(seed)
  const { pick, randomBody, randomHeaders } = createPoison(random)
  const postgres = 'postgres' in system ? [system.postgres, system.second] : []
  const processes = [...nats.servers, ...postgres, ...serviceNames.map((name) => system[name]), second]
  const end = performance.now() + seconds * 1_000
  const remainingMs = () => Math.max(0, end - performance.now())

  async function breakProcesses(victims: Set<Pick<System['nats'], 'signal' | 'start'>>): Promise<void> {
    for (const victim of victims) await victim.signal(pick(['SIGKILL', 'SIGSTOP']))
    await sleep(random() * 3_000)
    for (const victim of victims) await victim.start()
  }
  async function suspendNats(): Promise<void> {
    for (const server of nats.servers) await server.signal('SIGSTOP')
    await sleep(Math.min(5_000 + random() * 25_000, Math.max(5_000, remainingMs())))
    for (const server of nats.servers) await server.start()
  }
  async function cutConnections(): Promise<void> {
    for (let cuts = 0; cuts < 10; cuts += 1) {
      for (const proxy of system.proxies) proxy.cut()
      await sleep(random() * 200)
    }
  }
  /** Appends random messages, some on the subject of the last producer, and repeats that producer's last message. */
  async function poison(): Promise<void> {
    // A cluster may be electing a leader.
    const last = await eventually(() => readLastMessage(nats), SETTLE_MS)
    await using raw = await connectRaw(pick(nats.servers).url)
    for (let n = 0; n < 100; n += 1)
      raw.publish(pick(['events.view.poison', last.subject]), randomBody(), randomHeaders())
    raw.publish(last.subject, last.data)
    await raw.flush()
  }
  const faults = [
    () => breakProcesses(new Set([pick(processes)])),
    () => breakProcesses(new Set([pick(processes), pick(processes)])),
    cutConnections,
    poison,
  ]

  let actions = 1
  const suspendAfter = random() * (seconds - 5) * 1_000
  let isSuspended = false
  while (remainingMs() > 0) {
    if (!isSuspended && seconds * 1_000 - remainingMs() >= suspendAfter) {
      isSuspended = true
      await suspendNats()
    } else await pick(faults)()
    actions += 1
    await sleep(random() * 1_000)
  }
  return actions
}

function readLastMessage({ use }: Broker): Promise<StoredMsg> {
  return use(async (connection) => {
    const jsm = await connection.jetstreamManager()
    return jsm.streams.getMessage(STREAM, { last_by_subj: VIEWS })
  })
}

const KEEP_UP_MS = 15_000

/** Waits until the messages that are in the log now are counted. Plays continue meanwhile, so new ones keep arriving. */
async function expectToKeepUp({ reporting }: System, nats: Broker, token: string | undefined): Promise<void> {
  const { seq } = await eventually(() => readLastMessage(nats), SETTLE_MS)
  await eventually(async () => {
    const position = Position.parse(await getJson(`${reporting.url}/events/position`, token))
    expect(position.sequence).toBeGreaterThanOrEqual(seq)
  }, KEEP_UP_MS)
}

/**
 * Waits until the outboxes of both play processes are empty and all messages in the log are counted.
 * @param ports the operations ports of the play processes, if they have any
 */
async function expectSettled(
  { play, reporting }: System,
  nats: Broker,
  { ports, token }: { ports: string[] | undefined; token: string | undefined },
): Promise<void> {
  const waiting = /^outbox_waiting_views /
  await eventually(async () => {
    if (ports) for (const port of ports) expect(await metric(`http://127.0.0.1:${port}`, waiting)).toBe(0)
    else expect(await metricOfAll(play.url, 2, waiting)).toBe(0)
    const { seq } = await readLastMessage(nats)
    expect(await getJson(`${reporting.url}/events/position`, token)).toMatchObject({ sequence: seq })
  }, SETTLE_MS)
}
