/** Fields of an error response beside those that every error has. */
export type ErrorDetails = Record<string, number>

type Options = ErrorOptions & { details?: ErrorDetails | undefined }

/** What was asked for cannot be had now, but may be soon. The message and `cause` stay in the log. */
export class UnavailableError extends Error {
  override name = 'UnavailableError'
  readonly details: ErrorDetails | undefined

  constructor(message: string, { details, ...options }: Options = {}) {
    super(message, options)
    this.details = details
  }
}
