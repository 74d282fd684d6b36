/** The origin at which an instance of play, given its public origin, has its endpoints for operations. */
export type OperationsOf = (origin: string) => string

/** @param opsPort undefined if play has no port for operations */
export function createOperationsOf(opsPort: number | undefined): OperationsOf {
  return (origin) => {
    const url = new URL(origin)
    if (opsPort !== undefined) url.port = String(opsPort)
    return url.origin
  }
}
