/** One line that says what went wrong: the message of an error, followed by those of its causes. */
export function toReason(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  return error.cause === undefined ? error.message : `${error.message}: ${toReason(error.cause)}`
}
