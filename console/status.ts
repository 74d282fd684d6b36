import { services } from '../services.ts'
import type { Invalidations } from '../shared/catalogue/invalidations.ts'
import type { InstanceReadiness } from '../shared/client/instance-readiness.ts'
import { expectBody, type ServiceClient } from '../shared/client/service-client.ts'
import { Audit } from '../shared/contracts/audit.ts'
import { Degraded } from '../shared/contracts/playback.ts'
import type { DependencyState, Readiness } from '../shared/contracts/readiness.ts'
import type { ComponentStatus, SystemStatus } from '../shared/contracts/system-status.ts'
import { cacheFor } from '../shared/runtime/cache-for.ts'
import type { Health } from '../shared/service/health.ts'
import type { SystemHistory } from './history/history.ts'
import { toState } from './instance-state.ts'

/** Requests within this time share one result, so the number of calls does not grow with the number of open pages. */
const CACHE_MS = 250
/** The timeout is short, because the page waits for `GET /status`, which waits for a readiness check before the audit. */
const AUDIT_TIMEOUT_MS = 200

/** The current state of every component in the system. */
export type Status = () => Promise<SystemStatus>

type Client = Pick<ServiceClient, 'name' | 'instances' | 'get'>

type Deps = {
  health: Pick<Health, 'readiness'>
  /**
   * The clients for all services, without circuit breakers, so that a failed audit does not make plays skip their
   * lookups. If this process is the only instance of play, the client for play may have no known instances.
   */
  clients: readonly Client[]
  invalidations: Pick<Invalidations, 'subscribe'>
  /** The number of views in the outbox, if there is one. The function may throw. */
  backlog?: (() => number) | undefined
  history?: Pick<SystemHistory, 'traffic'> | undefined
}

export function createStatus({ health, clients, invalidations, backlog, history }: Deps): Status {
  let changes = 0
  const onChange = () => {
    changes += 1
  }
  invalidations.subscribe(onChange, onChange)

  return cacheFor(CACHE_MS, async () => {
    const [readiness, ...checked] = await Promise.all([health.readiness(), ...clients.map(checkService)])
    const shown = checked.filter(({ name, status }) => name !== services.play.name || status.instances)
    const parts = toComponents(readiness, Object.fromEntries(shown.map(({ name, status }) => [name, status])))
    if (parts.outbox && backlog) Object.assign(parts.outbox, toBacklog(backlog))
    const traffic = history?.traffic()
    const allUp = Object.values(parts).every(({ state }) => state === 'up')
    return {
      status: readiness.status !== 'ready' ? 'not ready' : allUp ? 'ready' : 'degraded',
      degraded: Degraded.options.filter((name) => isMissing(parts[name])),
      parts,
      changes,
      audit: checked.find(({ audit }) => audit)?.audit ?? null,
      ...(traffic && { traffic }),
    }
  })
}

/** Requests the audit only while the counts are current, because a 503 would eject the instance for lookups too. */
async function checkService(client: Client) {
  const { name } = client
  const status = toService(await client.instances())
  const isAudited = name === services.reporting.name && status.counting?.state === 'current'
  return { name, status, audit: isAudited ? await readAudit(client) : null }
}

/** Returns null if the call fails, for example because reporting runs a release without audits. */
async function readAudit(reporting: Pick<ServiceClient, 'get'>): Promise<Audit | null> {
  try {
    const signal = AbortSignal.timeout(AUDIT_TIMEOUT_MS)
    return expectBody(await reporting.get('/events/audit', { signal }), 200, Audit)
  } catch {
    return null
  }
}

/** Returns true if plays are currently served without this component. */
function isMissing(part: ComponentStatus | undefined): boolean {
  return part?.state === 'down' || (part?.counting !== undefined && part.counting.state !== 'current')
}

function toComponents(
  { dependencies, circuits = {}, problems = {} }: Readiness,
  others: Record<string, ComponentStatus>,
): SystemStatus['parts'] {
  // The log is one component, whether it is in NATS or, in embedded mode, in a file.
  const { nats, events = nats ?? 'unknown', ...own } = dependencies
  const states: Record<string, DependencyState> = { [services.play.name]: 'up', ...own, events }
  const parts: SystemStatus['parts'] = {
    ...Object.fromEntries(Object.entries(states).map(([name, state]) => [name, { state }])),
    ...others,
  }
  const { nats: problem } = problems
  if (parts.events && problem) parts.events.problem = problem
  return Object.fromEntries(
    Object.entries(parts).map(([name, status]) => {
      const circuit = circuits[name]
      return [name, { ...status, ...(circuit && { circuit }) }]
    }),
  )
}

/** A service is up if all of its instances are up, and down if none responds. */
function toService(instances: InstanceReadiness[]): ComponentStatus {
  const instanceStates = instances.map(({ url, readiness }) => ({ url, state: toState(readiness) }))
  const states = new Set(instanceStates.map(({ state }) => state))
  const [state = 'down'] = states
  const readinesses = instances.flatMap(({ readiness }) => readiness ?? [])
  const countings = readinesses.flatMap((readiness) => readiness.counting ?? [])
  const counting = countings.find(({ state }) => state !== 'current') ?? countings[0]
  const [problem] = readinesses.flatMap(({ problems = {} }) => Object.values(problems))
  const forwarding = readinesses.flatMap((readiness) => readiness.forwarding ?? [])
  const reason = forwarding.find((each) => each.reason)?.reason
  return {
    state: states.size > 1 ? 'degraded' : state,
    ...(counting && { counting }),
    ...(problem && { problem }),
    ...(forwarding.length > 0 && {
      waiting: Math.max(...forwarding.map(({ waiting }) => waiting)),
      stalled: forwarding.some((each) => each.state === 'stalled'),
    }),
    ...(reason && { reason }),
    ...(instanceStates.length > 1 && { instances: instanceStates }),
  }
}

/** Omits `waiting` if the outbox cannot be read. */
function toBacklog(backlog: () => number): Pick<ComponentStatus, 'waiting'> {
  try {
    return { waiting: backlog() }
  } catch {
    return {}
  }
}
