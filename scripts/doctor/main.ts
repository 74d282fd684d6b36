import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
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
import { edgePortOption, loadEnvironment, runCommand, toEdgePort, toOperations } from '../command.ts'
import { plural } from '../plural.ts'
import { clusterEnvironment } from '../start/cluster.ts'
import { needsEmbedded } from '../start/plan.ts'
import { checkCdn } from './cdn.ts'
import { addressUnset, checkConsul } from './consul.ts'
import { checkDisk, checkRoom, diagnoseSetAside } from './data-directory.ts'
import { diagnoseDatabase, diagnosePools, inspectDatabase } from './database.ts'
import { type Finding, findingsAbout, toText } from './finding.ts'
import { checkEmbeddedLog, checkNats } from './log.ts'
import { checkOutboxes } from './outbox.ts'
import { checkPublic } from './public.ts'
import { diagnoseAudit, diagnoseLosses, diagnoseSaving } from './reporting.ts'
import { diagnoseInstances, diagnoseReplicas, type Instance, inspect } from './services.ts'

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
is broken, and the exit status is 1. warn: everything works, but something needs attention. Reads the services'
settings (see .env.example), and

  PLAY_URL   play's URLs, separated by commas (default: http://127.0.0.1:${services.play.port})

  --port N   the edge's port, as for npm start (default: ${services.play.port}); all other ports shift by the same amount. Overrides the
             services' URLs, but not NATS_URL
  --cluster  check the three NATS servers that npm start -- --cluster runs
  --public   also check what strangers can reach, and report FAIL for each exposure on the checklist in
             docs/security.md`

const flag = { type: 'boolean', default: false } as const
const options = { ...edgePortOption, cluster: flag, public: flag } as const

await runCommand({ name: 'npm run doctor', usage, options, dotEnv: true }, async (flags) => {
  const { findings, isNothingRunning } = await examine(flags)
  const failures = findings.filter(({ severity }) => severity === 'FAIL').length
  const summary = failures === 0 ? 'No problems found.' : `${plural(failures, 'problem')}.`
  const hint = isNothingRunning ? ' Nothing is running: `npm start` starts everything.' : ''
  process.stdout.write(`${toText(findings)}\n${summary}${hint}\n`)
  return failures === 0 ? 0 : 1
})
// Connections to a hung process would delay the exit.
setTimeout(() => process.exit(), 100).unref()

type Flags = { port?: string | undefined; cluster: boolean; public: boolean }

/** @throws UsageError */
async function examine({ port, cluster, public: isPublic }: Flags) {
  const servers = cluster ? clusterEnvironment(toEdgePort(port), process.env) : {}
  const source = { args: [], env: { ...loadEnvironment(port), ...servers } }
  const urls = loadSettings(urlShape, source)
  const settings = loadSettings(shape, source)
  const { EVENTS_MAX_AGE: maxAgeMs, EVENTS_REPLICAS: replicas } = settings
  const { DATA_DIR, DATABASE_URL, CONSUL_HTTP_ADDR, OPS_PORT } = settings
  const registered = new Map<ServiceEntry, string[]>()
  const consul = await checkConsul(settings, registered)
  const originsOf = (service: ServiceEntry) => registered.get(service) ?? urls[service.urlSetting] ?? []
  const instancesOf = (service: ServiceEntry): Instance[] =>
    originsOf(service).map((origin) => {
      const operations = service === services.play ? toOperations(origin, OPS_PORT) : origin
      return { service, origin, operations }
    })
  const inspectAll = (service: ServiceEntry) => Promise.all(instancesOf(service).map(inspect))

  const plays = inspectAll(services.play)
  const others = serviceEntries.filter((service) => service !== services.play).map(inspectAll)
  const access = toNatsAccess(settings)
  const exposed = {
    originsOf,
    plays,
    nats: access,
    database: DATABASE_URL,
    dataDir: DATA_DIR,
    limitsConnections: settings.CLIENT_CONNECTIONS !== undefined,
    isBehindProxy: settings.TRUSTED_PROXIES !== undefined,
  }
  const names = await readdir(DATA_DIR).catch(() => [])
  const files = names.map((name) => join(DATA_DIR, name))

  // The checks run in parallel, so that several timeouts take no longer than one.
  const [inspections, nats, outboxes, disk, rooms, postgres, cdn, exposures] = await Promise.all([
    Promise.all([plays, ...others]),
    Array.fromAsync(checkNats({ access, plays, reporting: originsOf(services.reporting), maxAgeMs, replicas })),
    checkOutboxes(instancesOf(services.play), files),
    checkDisk(DATA_DIR),
    checkRoom(files),
    inspectDatabase(DATABASE_URL),
    checkCdn(settings),
    checkPublic(exposed, isPublic),
  ])

  const inspected = inspections.flat()
  const uses = (dependency: string) => inspected.some(({ dependencies }) => dependency in dependencies)
  const log = uses('events') ? await Array.fromAsync(checkEmbeddedLog(inspected)) : nats
  const discovery = uses('consul') && !CONSUL_HTTP_ADDR ? [addressUnset] : consul
  const reporting = inspected.filter(({ service }) => service === services.reporting)
  const database = [...diagnoseDatabase(postgres, DATABASE_URL, reporting), ...diagnosePools(reporting)]
  const isNothingRunning = inspected.every(({ ready }) => ready.outcome === 'unreachable')
  const findings = [
    ...diagnoseInstances(inspected, [...log, ...discovery, ...database]),
    ...serviceEntries.flatMap((service) => diagnoseReplicas(service, inspected)),
    // If nothing is running and `npm start` would use embedded mode, NATS is not needed.
    ...(isNothingRunning && needsEmbedded(process.env) ? [] : log),
    ...reporting.flatMap(diagnoseLosses),
    ...reporting.flatMap(diagnoseSaving),
    ...rooms,
    ...reporting.flatMap(diagnoseAudit),
    ...database,
    ...outboxes,
    ...diagnoseSetAside(files),
    ...discovery,
    ...cdn,
    diagnoseNode(process.versions),
    ...disk,
    ...(isNothingRunning ? [] : exposures),
  ]
  return { findings, isNothingRunning }
}

function diagnoseNode({ node }: NodeJS.ProcessVersions): Finding {
  const { ok, warn } = findingsAbout('node')
  if (node === pinnedNode) return ok(`${node}, as pinned`)
  return warn(`${node}, but the project is tested with ${pinnedNode}: npm run doctor uses that version`)
}
