import { z } from 'zod'
import { type ServiceEntry, serviceEntries, services } from '../../services.ts'
import { Readiness } from '../../shared/contracts/readiness.ts'
import { version } from '../../shared/runtime/version.ts'
import { about, type Finding } from './finding.ts'
import { pinnedNode } from './machine.ts'
import { probe, toJson } from './probe.ts'

const Document = z.object({ info: z.object({ title: z.string(), version: z.string() }) })

/** Reads the state of an instance from its endpoints. `status` or `title` is undefined for a different program. */
export async function inspect(service: ServiceEntry, origin: string) {
  const get = (path: string) => probe(origin, path)
  const [ready, document, metrics] = await Promise.all([get('/readyz'), get('/openapi.json'), get('/metrics')])
  const { status, dependencies = {}, circuits = {}, counting } = Readiness.safeParse(toJson(ready)).data ?? {}
  const { title, version } = Document.safeParse(toJson(document)).data?.info ?? {}
  const node = /^nodejs_version_info\{version="v([^"]+)"/m.exec(metrics.text)?.[1]
  return { service, origin, ready, status, dependencies, circuits, counting, title, version, node }
}
export type Inspected = Awaited<ReturnType<typeof inspect>>

/** Findings for each instance. `others` are the findings for its dependencies. */
export function diagnoseInstances(inspected: Inspected[], others: Finding[]): Finding[] {
  const missing = inspected.map((instance) => [...diagnoseIdentity(instance)])
  const failures = [...missing.flat(), ...others].filter(({ severity }) => severity === 'FAIL')
  const failing = new Set(failures.map(({ name }) => name))
  return inspected.flatMap((instance, n) => {
    const findings = missing[n]?.length ? missing[n] : [...diagnoseState(instance, failing)]
    return findings.length > 0 ? findings : [about(instance.service.name).ok(`${instance.origin} is ready`)]
  })
}

/** Findings if the instance is down or is not the expected service. */
function* diagnoseIdentity({ service, origin, ready, status, title }: Inspected) {
  const { name, port: usual, urlSetting, whenDown } = service
  const { fail } = about(name)
  if (ready.outcome !== 'response') {
    const port = Number(new URL(origin).port || 80)
    const command = `node ${name}/main.ts${port === usual ? '' : ` --port ${port}`}`
    const remedy = `${ready.outcome === 'timeout' ? 'it hangs, so kill it, then ' : ''}start it (${command})`
    yield fail(`${origin} is unreachable (${ready.text}): ${remedy}; until then, ${whenDown}`)
  } else if (!status || !title) {
    yield fail(`${origin} is a different program: stop it, or start ${name} with another --port and set ${urlSetting}`)
  } else if (title !== name) yield fail(`${origin} is ${title}, not ${name}: fix ${urlSetting}`)
}

/** The fix for a dependency that is up but unreachable from the service. */
const REMEDIES: Record<string, string> = {
  ...Object.fromEntries(serviceEntries.map(({ name, urlSetting }) => [name, `fix its ${urlSetting}`])),
  nats: 'fix its NATS_URL',
  outbox: 'free space on the disk of its DATA_DIR; check its log',
  consul: 'fix its CONSUL_HTTP_ADDR or CONSUL_HTTP_TOKEN, or start the agent',
}

/** Findings for the state of the expected service. `failing` contains the names that have a FAIL finding themselves. */
function* diagnoseState(inspected: Inspected, failing: Set<string>): Generator<Finding> {
  const { service, origin, status, dependencies, circuits, counting, version: running, node = pinnedNode } = inspected
  const { warn, fail } = about(service.name)
  const down = Object.keys(dependencies).filter((name) => dependencies[name] === 'down')
  const open = Object.keys(circuits).filter((name) => circuits[name] !== 'closed' && !down.includes(name))
  if (status === 'stopping') return yield fail(`${origin} is stopping: start it again once it has stopped`)
  if (status === 'not ready' && down.length === 0) yield fail(`${origin} is not ready: check its log`)
  for (const name of down) {
    const remedy = failing.has(name) ? `see ${name}` : (REMEDIES[name] ?? 'check its log')
    const finding = failing.has(name) && status !== 'not ready' ? warn : fail
    yield finding(`${origin} is ${status}, with ${name} down: ${remedy}`)
  }
  for (const name of open)
    yield warn(`${origin} has an open circuit to ${name}: the next play probes it; check its log`)
  if (status === 'degraded') yield warn(`${origin} is degraded, because counting has stalled: see counting`)
  if (counting && counting.state !== 'current') {
    const percent = Math.floor(counting.progress * 100)
    const remedy = counting.state === 'unknown' ? 'start queue-listener, or check its log' : 'wait, or see counting'
    yield warn(`${origin} has counted ${percent}% of the log, so that plays have null counts: ${remedy}`)
  }
  if (running !== version) yield warn(`${origin} is version ${running}, not ${version}: restart it from this checkout`)
  if (node !== pinnedNode) yield warn(`${origin} runs on Node ${node}: start it with the pinned version, ${pinnedNode}`)
}

/** Instances of a service share data only through the event log or NATS. */
export function* diagnoseReplicas({ name }: ServiceEntry, inspected: Inspected[]): Generator<Finding> {
  const running = inspected.filter(({ service, status }) => service.name === name && status)
  if (running.length < 2 || running.every(({ dependencies: all }) => 'nats' in all || 'events' in all)) return
  const remedy = name === services.reporting.name ? 'keep only one of them' : 'set NATS_URL for each of them'
  yield about(name).fail(`its ${running.length} instances do not share their data: ${remedy}`)
}
