/** Formats an error as one line: its message, followed by the messages of its causes. */
export function toReason(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  return error.cause === undefined ? error.message : `${error.message}: ${toReason(error.cause)}`
}
