import { services } from '../../services.ts'
import type { InstanceReadiness } from '../../shared/client/instance-readiness.ts'
import type { ServiceClient } from '../../shared/client/service-client.ts'
import type { Delivery, DependencyState, Readiness } from '../../shared/contracts/readiness.ts'
import { toState } from '../instance-state.ts'
import type { Failure, Subject } from './store.ts'

/** `instance` is empty if the service has only one instance. */
export type Observed = Subject & { failure?: Pick<Failure, 'state' | 'reason'> }

export type Observation = {
  subjects: Observed[]
  /** When each instance's process started, according to that process's clock (RFC 3339). */
  starts: (Subject & { url: string; startedAt: string })[]
  deliveries: (Delivery & { url: string })[]
}

export type Observe = () => Promise<Observation>

type Deps = {
  clients: readonly Pick<ServiceClient, 'name' | 'instances'>[]
  /** The states of play's own dependencies. */
  dependencies: Record<string, () => DependencyState>
}

/**
 * Observes the services through each instance's readiness, and other components through the services that use them.
 * Observing does not affect plays: it ejects no instance and opens no circuit.
 */
export function createObserver({ clients, dependencies }: Deps): Observe {
  return async function observe() {
    const checked = await Promise.all(
      clients.map(async (client) => ({ name: client.name, found: await client.instances() })),
    )
    const ready = checked.flatMap(({ name, found }) =>
      found.flatMap(({ url, readiness }) =>
        readiness ? [{ name, url, readiness, instance: labelOf(url, found) }] : [],
      ),
    )
    return {
      subjects: [
        ...checked.flatMap(({ name, found }) => toSubjects(name, found)),
        ...Object.entries(dependencies).map(([service, state]) => toSubject(service, state())),
        ...toPostgres(ready.map(({ readiness }) => readiness)),
      ],
      // Each play process records its own start, because multiple processes may share one URL.
      starts: ready.flatMap(({ name, url, instance, readiness: { startedAt } }) =>
        startedAt === undefined || name === services.play.name ? [] : [{ service: name, instance, url, startedAt }],
      ),
      deliveries: ready.flatMap(({ url, readiness: { delivery } }) => (delivery ? [{ ...delivery, url }] : [])),
    }
  }
}

/** Even if no instance of play is known, play is not down, because this process is one. */
function toSubjects(service: string, found: readonly InstanceReadiness[]): Observed[] {
  if (found.length > 0) return found.map(({ url, readiness }) => toObserved(service, labelOf(url, found), readiness))
  const failure = { state: 'down', reason: 'no known instances' } as const
  return service === services.play.name ? [] : [{ service, instance: '', failure }]
}

function labelOf(url: string, { length }: readonly unknown[]): string {
  return length > 1 ? url : ''
}

function toObserved(service: string, instance: string, readiness: Readiness | undefined): Observed {
  const state = toState(readiness)
  if (state === 'up' || state === 'unknown') return { service, instance }
  return { service, instance, failure: { state, reason: readiness ? describe(readiness) : '' } }
}

function toSubject(service: string, state: DependencyState): Observed {
  return { service, instance: '', ...(state === 'down' && { failure: { state, reason: '' } }) }
}

/** The state of Postgres is unknown while no instance of reporting responds. */
function toPostgres(all: readonly Readiness[]): Observed[] {
  const states = all.flatMap(({ dependencies: { postgres } }) => postgres ?? [])
  return states.length > 0 ? [toSubject('postgres', states.includes('down') ? 'down' : 'up')] : []
}

/** Explains in a few words why an instance is degraded. */
function describe({ status, counting, forwarding, dependencies }: Readiness): string {
  if (status === 'stopping') return 'stopping'
  if (forwarding?.state === 'stalled') return forwarding.reason ?? 'counting has stalled'
  if (counting?.state === 'replaying') return 'replaying the log'
  if (counting && counting.state !== 'current') return 'the counts are behind the log'
  const down = Object.entries(dependencies).flatMap(([name, state]) => (state === 'down' ? [name] : []))
  return down.length > 0 ? `${down.join(' and ')} down` : 'not ready'
}
