/** What was asked for cannot be had now, but may be soon. The message and `cause` stay in the log. */
export class UnavailableError extends Error {
  override name = 'UnavailableError'
}
