/** The origins of a service's instances as they are known now, such as `http://10.0.0.7:8081`. The same array until they change. */
export type Instances = () => readonly string[]

/** A process as others are to find it. */
export type Registration = {
  name: string
  /** The address that it is bound to. */
  host: string
  port: number
  /** Whether it can serve, as it registers; later the check on `/readyz` tells. */
  isReady: () => Promise<boolean>
}

/** How services find each other. */
export type Discovery = AsyncDisposable & {
  /**
   * Where a service is.
   * @param configured origins that serve until more is known
   */
  instancesOf(service: string, configured: readonly string[]): Instances
  /** Makes a process known to the others; disposing takes it back. */
  register(registration: Registration): AsyncDisposable
}
