import type { Circuit, DependencyState, Readiness } from '../contracts/readiness.ts'

type Dependency = {
  state: () => DependencyState | Promise<DependencyState>
  /** If true, the service is ready only while the dependency is up. */
  required: boolean | (() => boolean)
  circuit?: () => Circuit
  /** Why the dependency is not up, in one human-readable line. */
  reason?: (() => string | undefined) | undefined
  /** A problem with the dependency, in one human-readable line. The dependency may still be up. */
  problem?: (() => string | undefined) | undefined
}

export type Health = {
  /** Adds a dependency to `/readyz`. */
  watch(name: string, dependency: Dependency): void
  /** Adds the progress of the service's own work to `/readyz`. */
  describe(work: () => Work): void
  readiness(): Promise<Readiness>
  /** When the service started (RFC 3339). */
  startedAt: string
}

type Work = Pick<Readiness, 'counting' | 'forwarding' | 'delivery'>

/** Returns true if a service with this status can serve requests. */
export function canServe({ status }: Readiness): boolean {
  return status === 'ready' || status === 'degraded'
}

/**
 * A service is ready if it is not stopping and every required dependency is up. If its work stalls, the service is
 * degraded.
 */
export function createHealth(stopping: AbortSignal): Health {
  const registered = new Map<string, Dependency>()
  const startedAt = new Date().toISOString()
  let work: () => Work = () => ({})
  return {
    startedAt,
    describe(described) {
      work = described
    },
    watch(name, dependency) {
      registered.set(name, dependency)
    },
    async readiness() {
      const dependencies = await Promise.all(
        [...registered].map(async ([name, { state, required, circuit, reason, problem }]) => ({
          name,
          isRequired: typeof required === 'function' ? required() : required,
          state: await state(),
          circuit: circuit?.(),
          reason: reason?.(),
          problem: problem?.(),
        })),
      )
      const isReady = dependencies.every(({ isRequired, state }) => !isRequired || state === 'up')
      const current = work()
      const circuits = dependencies.flatMap(({ name, circuit }) => (circuit ? [[name, circuit] as const] : []))
      const reasons = dependencies.flatMap(({ name, state, reason }) =>
        state !== 'up' && reason ? [[name, reason]] : [],
      )
      const problems = dependencies.flatMap(({ name, problem }) => (problem ? [[name, problem]] : []))
      return {
        status: stopping.aborted ? 'stopping' : isReady ? toStatus(current) : 'not ready',
        dependencies: Object.fromEntries(dependencies.map(({ name, state }) => [name, state])),
        ...(circuits.length > 0 && { circuits: Object.fromEntries(circuits) }),
        ...current,
        ...(reasons.length > 0 && { reasons: Object.fromEntries(reasons) }),
        ...(problems.length > 0 && { problems: Object.fromEntries(problems) }),
        startedAt,
      }
    },
  }
}

function toStatus({ forwarding }: Work): Readiness['status'] {
  return forwarding?.state === 'stalled' ? 'degraded' : 'ready'
}
