import { z } from 'zod'
import { type ServiceEntry, serviceEntries, services } from '../../services.ts'
import { Readiness } from '../../shared/contracts/readiness.ts'
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
 */
export async function inspect(instance: Instance) {
  const get = (path: string) => probe(`${instance.operations}${path}`)
  const probes = [confirmReadiness(get), get('/openapi.json'), get('/metrics')] as const
  const [ready, document, metrics] = await Promise.all(probes)
  return {
    ...instance,
    ready,
    dependencies: NO_DEPENDENCIES,
    ...toReadiness(ready),
    ...Document.safeParse(document.json).data?.info,
    metrics: metrics.text,
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

/** Findings about each instance, and about the instances of each service. `others` are the findings of other checks. */
export function diagnoseServices(inspected: Inspected[], others: Finding[]): Finding[] {
  const unusable = inspected.map(diagnoseIdentity)
  const failures = [...unusable, ...others].filter((finding) => finding?.severity === 'FAIL')
  const failing = new Set(failures.map((finding) => finding?.name))
  // Views that wait in an outbox do not explain why play cannot use it.
  failing.delete('outbox')
  const instances = inspected.flatMap((instance, n) => {
    const findings = unusable[n] ? [unusable[n]] : [...diagnoseState(instance, failing)]
    return findings.length > 0 ? findings : [findingsAbout(instance.service.name).ok(`${instance.origin} is ready`)]
  })
  return [...instances, ...[...Map.groupBy(inspected, ({ service }) => service.name)].flatMap(diagnoseSharing)]
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
function* diagnoseState(inspected: Inspected, failing: Set<string | undefined>): Generator<Finding> {
  const { service, origin, status, dependencies, counting, forwarding, metrics } = inspected
  const { circuits = {}, problems = {}, reasons = {} } = inspected
  const { warn, fail } = findingsAbout(service.name)
  if (status === 'stopping') return yield fail(`${origin} is stopping: start it again once it has stopped`)
  const down = Object.keys(dependencies).filter((key) => dependencies[key] === 'down')
  if (status === 'not ready' && down.length === 0) yield fail(`${origin} is not ready: check its log`)
  for (const key of down) {
    const text = `${origin} is ${status}, with ${key} down`
    const reason = reasons[key] ? ` (${reasons[key]})` : ''
    if (failing.has(key)) yield (status === 'not ready' ? fail : warn)(`${text}: see ${key}`)
    else yield fail(`${text}${reason}: ${REMEDIES[key] ?? 'check its log'}`)
  }
  for (const key of Object.keys(circuits).filter((key) => circuits[key] !== 'closed' && !down.includes(key))) {
    yield warn(`${origin} has an open circuit to ${key}: the next play probes it; check its log`)
  }
  if (status === 'degraded') {
    const suspended = `counting is suspended: ${forwarding?.reason}`
    const cause = forwarding?.reason === undefined ? 'counting has stalled: see counting' : suspended
    yield warn(`${origin} is degraded, because ${cause}`)
  }
  if (counting && counting.state !== 'current') {
    const text = `${origin} has counted ${Math.floor(counting.progress * 100)}% of the log, so plays have null counts`
    const remedy = counting.state === 'unknown' ? 'start queue-listener, or check its log' : 'wait, or see counting'
    yield warn(`${text}: ${remedy}`)
  }
  for (const problem of Object.values(problems)) yield warn(`${origin} reports: ${problem}`)
  const running = inspected.version
  if (running !== version) yield warn(`${origin} is version ${running}, not ${version}: restart it from this checkout`)
  const node = /^nodejs_version_info\{version="v([^"]+)"/m.exec(metrics)?.[1] ?? pinnedNode
  if (node !== pinnedNode) yield warn(`${origin} runs on Node ${node}: start it with the pinned version, ${pinnedNode}`)
}

/** Fails unless all instances of a service share their data through the event log, NATS or a database. */
function diagnoseSharing([name, inspected]: [string, Inspected[]]): Finding[] {
  const running = inspected.filter(({ status }) => status)
  if (running.length < 2 || running.every(({ dependencies: all }) => 'nats' in all || 'events' in all)) return []
  const stores = new Set(running.flatMap(({ counting }) => counting?.store ?? []))
  // An instance has no store id until it has connected to Postgres once.
  const mayShare = running.every(({ counting, dependencies }) => counting?.store || 'postgres' in dependencies)
  if (mayShare && stores.size < 2) return []
  const isReporting = name === services.reporting.name
  const remedy = isReporting ? 'keep only one of them, or set DATABASE_URL for all' : 'set NATS_URL for each of them'
  return [findingsAbout(name).fail(`its ${running.length} instances do not share their data: ${remedy}`)]
}
