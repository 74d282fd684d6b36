import type { MiddlewareHandler } from 'hono'
import { type ErrorDetails, UnavailableError } from '../runtime/unavailable-error.ts'

/**
 * Admission control: rejects requests above a concurrency limit immediately with 503.
 * @param what the limited resource, in the plural, for the log
 * @param details additional fields in the 503
 */
export function limitConcurrency(max: number, what: string, details?: ErrorDetails): MiddlewareHandler {
  let inFlight = 0
  return async function limitConcurrency(_, next) {
    if (inFlight >= max) throw new UnavailableError(`too many ${what} in flight`, { details })
    inFlight += 1
    try {
      await next()
    } finally {
      inFlight -= 1
    }
  }
}
