/** Converts the public origin of an instance of play to the origin of its operations port. */
export type OperationsOf = (origin: string) => string

/** @param opsPort undefined if play has no port for operations */
export function createOperationsOf(opsPort: number | undefined): OperationsOf {
  return (origin) => {
    const url = new URL(origin)
    if (opsPort !== undefined) url.port = String(opsPort)
    return url.origin
  }
}
