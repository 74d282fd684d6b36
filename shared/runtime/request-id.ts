import { randomUUID } from 'node:crypto'

/** The header that carries the request id. */
export const REQUEST_ID = 'x-request-id'
const VALID_ID = /^[\w\-=]{1,128}$/

/**
 * Returns the id from a request's header, or a new id if the header is missing or invalid.
 * @param unique an id to use instead of a generated one
 */
export function toRequestId(given: string | string[] | undefined, unique?: string): string {
  return typeof given === 'string' && VALID_ID.test(given) ? given : (unique ?? randomUUID())
}
