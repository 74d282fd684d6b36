import type { DependencyState } from '../contracts/readiness.ts'

/**
 * Returns the origins of the known instances, such as `http://10.0.0.7:8081`. Returns the same array until the list
 * changes.
 */
export type Instances = () => readonly string[]

export type Registration = {
  name: string
  /** The address that the process is bound to. */
  host: string
  port: number
  /** Determines the initial health state, before the first `/readyz` check. */
  isReady: () => Promise<boolean>
}

export type Discovery = AsyncDisposable & {
  /** The registry's state, if discovery depends on one. */
  state?: () => DependencyState
  /** @param configured origins to use until the registry returns instances */
  instancesOf(service: string, configured: readonly string[]): Instances
  /** Registers a process; disposing the result deregisters the process. */
  register(registration: Registration): AsyncDisposable
}
