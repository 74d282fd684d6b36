import { randomUUID } from 'node:crypto'

/** The header with the id of a request. */
export const REQUEST_ID = 'x-request-id'
const VALID_ID = /^[\w\-=]{1,128}$/

/** The id in the header of a request, or a generated one if it has no valid id. */
export function toRequestId(given: string | string[] | undefined): string {
  return typeof given === 'string' && VALID_ID.test(given) ? given : randomUUID()
}
