/** A temporary failure: the client may retry. The message and `cause` are logged, never sent. */
export class UnavailableError extends Error {
  override name = 'UnavailableError'
}
