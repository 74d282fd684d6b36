import { z } from 'zod'
import { type ServiceEntry, serviceEntries, services } from '../../services.ts'
import { Audit } from '../../shared/contracts/audit.ts'
import type { Counting } from '../../shared/contracts/counting.ts'
import { type Forwarding, Readiness } from '../../shared/contracts/readiness.ts'
import { sleep } from '../../shared/runtime/sleep.ts'
import { pinnedNode, version } from '../../shared/runtime/version.ts'
import { type Probe, probe } from '../http.ts'
import { type Finding, findingsAbout } from './finding.ts'

/** Must be longer than the time for which play caches its readiness. */
const CONFIRM_MS = 500

const Document = z.object({ info: z.object({ title: z.string(), version: z.string() }) })

const NO_DEPENDENCIES: Readiness['dependencies'] = {}

/** `operations` is the origin of the operations endpoints. */
export type Instance = { service: ServiceEntry; origin: string; operations: string }

export type Inspected = Awaited<ReturnType<typeof inspect>>

/**
 * Reads the state of an instance from its endpoints. `status` or `title` is undefined if a different program responds.
 * `audit` and `lost` are undefined unless the instance is reporting.
 */
export async function inspect(instance: Instance) {
  const get = (path: string) => probe(`${instance.operations}${path}`)
  const isReporting = instance.service === services.reporting
  const [ready, document, metrics, audit, lost] = await Promise.all([
    confirmReadiness(get),
    ...['/openapi.json', '/metrics', ...(isReporting ? ['/events/audit', '/events/lost'] : [])].map(get),
  ])
  return {
    ...instance,
    ready,
    dependencies: NO_DEPENDENCIES,
    ...toReadiness(ready),
    ...Document.safeParse(document?.json).data?.info,
    metrics: metrics?.text ?? '',
    audit: Audit.safeParse(audit?.json).data,
    lost,
  }
}

const toReadiness = ({ json }: Probe) => Readiness.safeParse(json).data

/** Reads the readiness again if a dependency is down, because a busy dependency may briefly look down. */
async function confirmReadiness(get: (path: string) => Promise<Probe>): Promise<Probe> {
  const ready = await get('/readyz')
  const states = Object.values(toReadiness(ready)?.dependencies ?? {})
  if (!states.includes('down')) return ready
  await sleep(CONFIRM_MS)
  return get('/readyz')
}

/** Findings for each instance. `others` are the findings for their dependencies. */
export function diagnoseInstances(inspected: Inspected[], others: Finding[]): Finding[] {
  const unusable = inspected.map(diagnoseIdentity)
  const failures = [...unusable, ...others].filter((finding) => finding?.severity === 'FAIL')
  const failing = new Set(failures.map((finding) => finding?.name))
  return inspected.flatMap((instance, n) => unusable[n] ?? diagnoseState(instance, failing))
}

/** Returns a finding if the instance is down or is not the expected service. */
function diagnoseIdentity({ service, origin, operations, ready, status, title }: Inspected): Finding | undefined {
  const { name, port: usual, urlSetting, whenDown } = service
  const { fail } = findingsAbout(name)
  if (ready.outcome !== 'response' && operations !== origin) {
    const remedy = 'start it, or set OPS_PORT here to the port that it uses'
    return fail(`${origin} is unreachable at its operations port, ${operations} (${ready.text}): ${remedy}`)
  }
  if (ready.outcome !== 'response') {
    const port = Number(new URL(origin).port || 80)
    const command = `npx node ${name}/main.ts${port === usual ? '' : ` --port ${port}`}`
    const start = `${ready.outcome === 'timeout' ? 'it hangs, so kill it, then ' : ''}start it (${command})`
    const remedy = /CERT|SIGNATURE|TLS|SSL/.test(ready.text) ? 'fix UPSTREAM_CA, or its certificate' : start
    return fail(`${origin} is unreachable (${ready.text}): ${remedy}; until then, ${whenDown}`)
  }
  const move = `stop it, or start ${name} with another --port and set ${urlSetting}`
  if (!status || !title) return fail(`${origin} is a different program: ${move}`)
  return title === name ? undefined : fail(`${origin} is ${title}, not ${name}: fix ${urlSetting}`)
}

/** The fix for a dependency that is up but unreachable from the service. */
const REMEDIES: Record<string, string> = {
  ...Object.fromEntries(serviceEntries.map(({ name, urlSetting }) => [name, `fix its ${urlSetting}`])),
  nats: 'fix its NATS_URL, or NATS_CA and its credentials',
  outbox: 'free space on the disk that holds its DATA_DIR; check its log',
  postgres: 'fix its DATABASE_URL',
  identity: 'fix its AUTH_JWKS_URL, or start the identity provider',
  consul: 'fix its CONSUL_HTTP_ADDR or CONSUL_HTTP_TOKEN, or start the agent',
}

/** Findings for the state of the expected service. `failing` contains the names of the other FAIL findings. */
function diagnoseState(inspected: Inspected, failing: Set<string | undefined>): Finding[] {
  const { service, origin, status, dependencies, counting, forwarding, version: running, metrics } = inspected
  const { circuits = {}, problems = {}, reasons = {} } = inspected
  const { ok, warn, fail } = findingsAbout(service.name)
  const node = /^nodejs_version_info\{version="v([^"]+)"/m.exec(metrics)?.[1] ?? pinnedNode
  if (status === 'stopping') return [fail(`${origin} is stopping: start it again once it has stopped`)]
  const down = Object.keys(dependencies).filter((key) => dependencies[key] === 'down')
  const open = Object.keys(circuits).filter((key) => circuits[key] !== 'closed' && !down.includes(key))
  const diagnoseDown = (dependency: string) => {
    const text = `${origin} is ${status}, with ${dependency} down`
    if (failing.has(dependency)) return (status === 'not ready' ? fail : warn)(`${text}: see ${dependency}`)
    const reason = reasons[dependency] ? ` (${reasons[dependency]})` : ''
    return fail(`${text}${reason}: ${REMEDIES[dependency] ?? 'check its log'}`)
  }
  const findings = [
    status === 'not ready' && down.length === 0 && fail(`${origin} is not ready: check its log`),
    ...down.map(diagnoseDown),
    ...open.map((key) => warn(`${origin} has an open circuit to ${key}: the next play probes it; check its log`)),
    status === 'degraded' && warn(`${origin} is degraded, because ${diagnoseStall(forwarding)}`),
    counting !== undefined && counting.state !== 'current' && warn(`${origin} ${diagnoseCounts(counting)}`),
    ...Object.values(problems).map((problem) => warn(`${origin} reports: ${problem}`)),
    running !== version && warn(`${origin} is version ${running}, not ${version}: restart it from this checkout`),
    node !== pinnedNode && warn(`${origin} runs on Node ${node}: start it with the pinned version, ${pinnedNode}`),
  ].filter((finding) => finding !== false)
  return findings.length > 0 ? findings : [ok(`${origin} is ready`)]
}

function diagnoseStall({ reason }: Partial<Forwarding> = {}): string {
  return reason === undefined ? 'counting has stalled: see counting' : `counting is suspended: ${reason}`
}

function diagnoseCounts({ state, progress }: Counting): string {
  const remedy = state === 'unknown' ? 'start queue-listener, or check its log' : 'wait, or see counting'
  return `has counted ${Math.floor(progress * 100)}% of the log, so plays have null counts: ${remedy}`
}

/** Fails unless all instances of a service share their data through the event log, NATS or a database. */
export function diagnoseReplicas({ name }: ServiceEntry, inspected: Inspected[]): Finding[] {
  const running = inspected.filter(({ service, status }) => service.name === name && status)
  if (running.length < 2 || running.every(({ dependencies: all }) => 'nats' in all || 'events' in all)) return []
  const stores = new Set(running.flatMap(({ counting }) => counting?.store ?? []))
  // An instance has no store id until it has connected to Postgres once.
  const mayShare = running.every(({ counting, dependencies }) => counting?.store || 'postgres' in dependencies)
  if (mayShare && stores.size < 2) return []
  const isReporting = name === services.reporting.name
  const remedy = isReporting ? 'keep only one of them, or set DATABASE_URL for all' : 'set NATS_URL for each of them'
  return [findingsAbout(name).fail(`its ${running.length} instances do not share their data: ${remedy}`)]
}
