import { services } from '../services.ts'
import type { Invalidations } from '../shared/catalogue/invalidations.ts'
import type { ServiceClient } from '../shared/client/service-client.ts'
import { Degraded } from '../shared/contracts/playback.ts'
import type { DependencyState, Readiness } from '../shared/contracts/readiness.ts'
import type { ComponentStatus, SystemStatus } from '../shared/contracts/system-status.ts'
import type { Health } from '../shared/service/health.ts'

/** Requests within this time share one result, so that the number of calls does not grow with the number of viewers. */
const CACHE_MS = 250

/** The current state of every component of the system. */
export type Status = () => Promise<SystemStatus>

type Deps = {
  health: Pick<Health, 'readiness'>
  listener: Pick<ServiceClient, 'state'>
  invalidations: Pick<Invalidations, 'subscribe'>
  /** The number of views in the outbox, if there is one. It may throw. */
  backlog?: (() => number) | undefined
}

export function createStatus({ health, listener, invalidations, backlog }: Deps): Status {
  let changes = 0
  const onChange = () => {
    changes += 1
  }
  invalidations.subscribe(onChange, onChange)

  return cacheFor(CACHE_MS, async () => {
    const [readiness, listenerState] = await Promise.all([health.readiness(), listener.state()])
    const parts = toComponents(readiness, listenerState)
    if (parts.outbox && backlog) Object.assign(parts.outbox, toBacklog(backlog))
    const allUp = Object.values(parts).every(({ state }) => state === 'up')
    return {
      status: readiness.status !== 'ready' ? 'not ready' : allUp ? 'ready' : 'degraded',
      degraded: Degraded.options.filter((name) => parts[name]?.state === 'down'),
      parts,
      changes,
    }
  })
}

function toComponents({ dependencies, circuits = {} }: Readiness, listener: DependencyState): SystemStatus['parts'] {
  // The log is one component, whether it is in NATS or, in embedded mode, in a file.
  const { nats, events = nats ?? 'unknown', ...others } = dependencies
  const states: Record<string, DependencyState> = {
    [services.play.name]: 'up',
    ...others,
    events,
    [services['queue-listener'].name]: listener,
  }
  return Object.fromEntries(
    Object.entries(states).map(([name, state]) => {
      const circuit = circuits[name]
      return [name, { state, ...(circuit && { circuit }) }]
    }),
  )
}

/** Omits `waiting` if the outbox cannot be read. */
function toBacklog(backlog: () => number): Pick<ComponentStatus, 'waiting'> {
  try {
    return { waiting: backlog() }
  } catch {
    return {}
  }
}

function cacheFor<Value>(ms: number, load: () => Promise<Value>): () => Promise<Value> {
  let loading: Promise<Value> | undefined
  let since = 0
  return () => {
    if (!loading || performance.now() - since > ms) {
      since = performance.now()
      loading = load()
    }
    return loading
  }
}
