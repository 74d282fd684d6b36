/** Additional fields in an error response. */
export type ErrorDetails = Record<string, number>

type Options = ErrorOptions & { details?: ErrorDetails | undefined }

/** A temporary failure: the client may retry. The message and `cause` are logged; only `details` is sent. */
export class UnavailableError extends Error {
  override name = 'UnavailableError'
  /** The HTTP status. 507 (insufficient storage) persists until an operator acts. */
  readonly status: 503 | 507 = 503
  readonly details: ErrorDetails | undefined

  constructor(message: string, { details, ...options }: Options = {}) {
    super(message, options)
    this.details = details
  }
}
