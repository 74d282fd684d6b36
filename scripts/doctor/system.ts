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
import { loadEnvironment, toEdgePort, toOperations } from '../command.ts'
import { clusterEnvironment } from '../start/cluster.ts'
import { checkConsul } from './consul.ts'
import { type Instance, inspect } from './services.ts'

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

type Flags = { port?: string | undefined; cluster: boolean; public: boolean }

export type System = Awaited<ReturnType<typeof openSystem>>

/**
 * Returns what the checks need to know about the system: settings, files, and the state of each instance of a service,
 * which is read while the checks run.
 * @throws UsageError
 */
export async function openSystem({ port, cluster, public: isPublic }: Flags) {
  const servers = cluster ? clusterEnvironment(toEdgePort(port), process.env) : {}
  const source = { args: [], env: { ...loadEnvironment(port), ...servers } }
  const urls = loadSettings(urlShape, source)
  const settings = loadSettings(shape, source)
  const access = toNatsAccess(settings)
  const { DATA_DIR, OPS_PORT } = settings
  const files = (await readdir(DATA_DIR).catch(() => [])).map((name) => join(DATA_DIR, name))
  const registered = new Map<ServiceEntry, string[]>()
  const consul = await checkConsul(settings, registered)

  const instances = serviceEntries.flatMap((service) => {
    const origins = registered.get(service) ?? urls[service.urlSetting] ?? []
    const toOps = (origin: string) => (service === services.play ? toOperations(origin, OPS_PORT) : origin)
    return origins.map((origin): Instance => ({ service, origin, operations: toOps(origin) }))
  })
  const inspected = Promise.all(instances.map(inspect))
  const isOf = (service: ServiceEntry) => (instance: Instance) => instance.service === service
  return {
    isPublic,
    settings,
    access,
    /** The paths of the files in DATA_DIR. */
    files,
    /** The findings about Consul. */
    consul,
    instances,
    originsOf: (service: ServiceEntry) => instances.filter(isOf(service)).map(({ origin }) => origin),
    /** The state of all instances. The promise settles late if one of them hangs, and never rejects. */
    inspected,
    inspectedOf: async (service: ServiceEntry) => (await inspected).filter(isOf(service)),
    /** Returns true if a service reports this dependency. */
    uses: async (name: string) => (await inspected).some(({ dependencies }) => name in dependencies),
    isNothingRunning: inspected.then((all) => all.every(({ ready }) => ready.outcome === 'unreachable')),
  }
}
