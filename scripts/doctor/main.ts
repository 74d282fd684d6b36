import { statfs } from 'node:fs/promises'
import { operationsSettings } from '../../play/operations.ts'
import { signingSettings } from '../../play/signing/settings.ts'
import { databaseUrl } from '../../reporting/postgres/settings.ts'
import { type ServiceEntry, serviceEntries, services, urlsOf } from '../../services.ts'
import { discoverySettings } from '../../shared/discovery/settings.ts'
import { eventsMaxAge } from '../../shared/event-log/settings.ts'
import { toNatsAccess } from '../../shared/nats/credentials.ts'
import { eventsReplicas, natsSettings } from '../../shared/nats/settings.ts'
import { trustedProxies } from '../../shared/runtime/ip-address.ts'
import { clientConnections, dataDir, loadSettings } from '../../shared/runtime/settings.ts'
import { pinnedNode } from '../../shared/runtime/version.ts'
import { edgePortOption, runCommand, toEdgePort } from '../command.ts'
import { clusterEnvironment } from '../start/cluster.ts'
import { environmentAt, needsEmbedded } from '../start/plan.ts'
import { checkAudit } from './audit.ts'
import { checkCdn } from './cdn.ts'
import { checkCheckpoints } from './checkpoints.ts'
import { checkConsul } from './consul.ts'
import { checkPools, diagnoseDatabase, inspectDatabase } from './database.ts'
import { type Finding, ok, plural, toText, warn } from './finding.ts'
import { checkLosses, checkMetrics, checkNats } from './log.ts'
import { createOperationsOf } from './operations.ts'
import { checkOutboxes } from './outbox.ts'
import { checkPublic } from './public.ts'
import { diagnoseInstances, diagnoseReplicas, inspect } from './services.ts'

/** Warn early, because NATS rejects appends before its disk is completely full. */
const MIN_FREE_MIB = 1_024

const shape = {
  ...natsSettings,
  DATA_DIR: dataDir,
  EVENTS_MAX_AGE: eventsMaxAge,
  EVENTS_REPLICAS: eventsReplicas,
  DATABASE_URL: databaseUrl,
  CLIENT_CONNECTIONS: clientConnections,
  TRUSTED_PROXIES: trustedProxies,
  ...operationsSettings,
  ...signingSettings,
  ...discoverySettings,
}
const urlShape = Object.fromEntries(serviceEntries.map((service) => [service.urlSetting, urlsOf(service)]))

const usage = `Usage: npm run doctor [-- --port N] [-- --cluster] [-- --public]

Checks the running system without changing it, and prints one line per check, with a fix for each problem. FAIL: something
is broken, and the exit status is 1. warn: everything works, but something needs attention. Settings: those of the
services (see .env.example), and

  PLAY_URL   URLs of play, separated by commas (default: http://127.0.0.1:${services.play.port})

  --port N   port of the edge (default: ${services.play.port}); all other ports, including that of NATS, shift by the same amount
  --cluster  check the three NATS servers of npm start -- --cluster
  --public   also check what strangers could reach: FAIL for each exposure of the checklist in docs/security.md`

const flag = { type: 'boolean', default: false } as const
const options = { ...edgePortOption, cluster: flag, public: flag } as const

await runCommand({ name: 'npm run doctor', usage, options, dotEnv: true }, async (flags) => {
  const { findings, isNothingRunning } = await examine(toEdgePort(flags.port), flags)
  const failures = findings.filter(({ severity }) => severity === 'FAIL').length
  const summary = failures === 0 ? 'No problems found.' : `${plural(failures, 'problem')}.`
  const hint = isNothingRunning ? ' Nothing is running: `npm start` starts everything.' : ''
  process.stdout.write(`${toText(findings)}\n${summary}${hint}\n`)
  return failures === 0 ? 0 : 1
})
// Connections to a hung process would delay the exit.
setTimeout(() => process.exit(), 100).unref()

/** @throws UsageError */
async function examine(edgePort: number, flags: { cluster: boolean; public: boolean }) {
  const own = flags.cluster ? clusterEnvironment(edgePort, process.env) : {}
  const source = { args: [], env: { ...environmentAt(edgePort, process.env), ...own } }
  const urls = loadSettings(urlShape, source)
  const settings = loadSettings(shape, source)
  const { EVENTS_MAX_AGE: maxAgeMs, EVENTS_REPLICAS: replicas } = settings
  const { DATA_DIR, DATABASE_URL, CONSUL_HTTP_ADDR, OPS_PORT } = settings
  const registered = new Map<ServiceEntry, string[]>()
  const consul = await checkConsul(settings, registered)
  const originsOf = (service: ServiceEntry) => registered.get(service) ?? urls[service.urlSetting] ?? []
  const [plays, reporting] = [originsOf(services.play), originsOf(services.reporting)]

  const operationsOf = createOperationsOf(OPS_PORT)
  const access = toNatsAccess(settings)
  const inspectAll = (service: ServiceEntry) =>
    originsOf(service).map((origin) => {
      return inspect(service, origin, service === services.play ? operationsOf(origin) : origin)
    })

  const exposed = {
    originsOf,
    operationsOf,
    nats: access,
    database: DATABASE_URL,
    dataDir: DATA_DIR,
    limitsConnections: settings.CLIENT_CONNECTIONS !== undefined,
    isBehindProxy: settings.TRUSTED_PROXIES !== undefined,
  }

  // In parallel, so that multiple timeouts take no longer than one.
  const [inspected, nats, losses, metrics, outboxes, machine, checkpoints, audits, pools, postgres, cdn, exposures] =
    await Promise.all([
      Promise.all(serviceEntries.flatMap(inspectAll)),
      Array.fromAsync(checkNats({ access, plays: plays.map(operationsOf), reporting, maxAgeMs, replicas })),
      Array.fromAsync(checkLosses(reporting)),
      Array.fromAsync(checkMetrics(originsOf(services['queue-listener']))),
      checkOutboxes(plays, DATA_DIR, operationsOf),
      Array.fromAsync(checkMachine(DATA_DIR)),
      Array.fromAsync(checkCheckpoints(reporting, DATA_DIR)),
      Array.fromAsync(checkAudit(reporting)),
      Array.fromAsync(checkPools(reporting)),
      inspectDatabase(DATABASE_URL),
      checkCdn(settings),
      checkPublic(exposed, flags.public),
    ])

  const uses = (dependency: string) => inspected.some(({ dependencies }) => dependency in dependencies)
  const log = uses('events') ? [ok('log', 'embedded mode: a file in DATA_DIR, without NATS'), ...metrics] : nats
  const unset = warn('consul', 'the services use Consul: set CONSUL_HTTP_ADDR here too, so that it is checked')
  const discovery = uses('consul') && !CONSUL_HTTP_ADDR ? [unset] : consul
  const counters = inspected.filter(({ service }) => service === services.reporting)
  const database = [...diagnoseDatabase(postgres, DATABASE_URL, counters), ...pools]
  const instances = diagnoseInstances(inspected, [...log, ...discovery, ...database])
  const duplicates = serviceEntries.flatMap((service) => [...diagnoseReplicas(service, inspected)])
  const isNothingRunning = inspected.every(({ ready }) => ready.outcome === 'unreachable')
  // If nothing is running and `npm start` would use embedded mode, NATS is not needed.
  const neededLog = isNothingRunning && needsEmbedded(process.env) ? [] : log
  const counts = [...checkpoints, ...audits, ...database]
  const data = [...neededLog, ...losses, ...counts, ...outboxes]
  const findings = [
    ...instances,
    ...duplicates,
    ...data,
    ...discovery,
    ...cdn,
    ...machine,
    ...(isNothingRunning ? [] : exposures),
  ]
  return { findings, isNothingRunning }
}

/** Checks the Node version, and the free disk space for a directory if it exists. */
async function* checkMachine(directory: string): AsyncGenerator<Finding> {
  const { node } = process.versions
  if (node === pinnedNode) yield ok('node', `${node}, as pinned`)
  else yield warn('node', `${node}, but the project is tested with ${pinnedNode}: npm run doctor uses that version`)

  const disk = await statfs(directory).catch(() => undefined)
  if (!disk) return
  const freeMib = Math.round((disk.bavail * disk.bsize) / 2 ** 20)
  const text = `${freeMib.toLocaleString('en')} MiB free for ${directory}`
  const free = 'free some space, or set EVENTS_MAX_AGE, before the log and the outbox run out of space'
  yield freeMib > MIN_FREE_MIB ? ok('disk', text) : warn('disk', `${text}: ${free}`)
}
