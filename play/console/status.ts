import type { Changes } from '../../shared/changes/changes.ts'
import { Degraded } from '../../shared/contracts/playback.ts'
import type { PartStatus, SystemStatus } from '../../shared/contracts/system-status.ts'
import type { ServiceClient } from '../../shared/http/service-client.ts'
import type { DependencyState, Health, Readiness } from '../../shared/runtime/health.ts'

/** All who ask within this time get one answer, so that viewers cost the other services nothing. */
const KEEP_MS = 250

/** How every part of the system is now. */
export type Status = () => Promise<SystemStatus>

type Deps = {
  health: Pick<Health, 'readiness'>
  listener: Pick<ServiceClient, 'state'>
  changes: Pick<Changes, 'subscribe'>
  /** How many views wait in the outbox, where there is one. It may throw. */
  waiting?: () => number
}

export function createStatus({ health, listener, changes, waiting }: Deps): Status {
  let changed = 0
  const count = () => {
    changed += 1
  }
  changes.subscribe(count, count)

  return keepFor(KEEP_MS, async () => {
    const [readiness, listening] = await Promise.all([health.readiness(), listener.state()])
    const parts = partsOf(readiness, listening)
    if (parts.outbox && waiting) Object.assign(parts.outbox, countOf(waiting))
    const allUp = Object.values(parts).every(({ state }) => state === 'up')
    return {
      status: readiness.status !== 'ready' ? 'not ready' : allUp ? 'ready' : 'degraded',
      degraded: Degraded.options.filter((name) => parts[name]?.state === 'down'),
      parts,
      changes: changed,
    }
  })
}

function partsOf({ dependencies, circuits = {} }: Readiness, listening: DependencyState): SystemStatus['parts'] {
  // The log is one part, whether it is in NATS or, in embedded mode, in a file.
  const { nats, events = nats ?? 'unknown', ...others } = dependencies
  const states: Record<string, DependencyState> = { play: 'up', ...others, events, 'queue-listener': listening }
  return Object.fromEntries(
    Object.entries(states).map(([name, state]) => {
      const circuit = circuits[name]
      return [name, { state, ...(circuit && { circuit }) }]
    }),
  )
}

/** Nothing where the disk does not say. */
function countOf(waiting: () => number): Pick<PartStatus, 'waiting'> {
  try {
    return { waiting: waiting() }
  } catch {
    return {}
  }
}

function keepFor<Value>(ms: number, load: () => Promise<Value>): () => Promise<Value> {
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
