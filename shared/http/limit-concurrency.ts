import type { MiddlewareHandler } from 'hono'
import { UnavailableError } from '../runtime/unavailable-error.ts'

/**
 * Admission control: rejects requests above a concurrency limit at once, with 503.
 * @param what is limited, in the plural, for the log
 */
export function limitConcurrency(max: number, what: string): MiddlewareHandler {
  let inFlight = 0
  return async function limitConcurrency(_, next) {
    if (inFlight >= max) throw new UnavailableError(`too many ${what} in flight`)
    inFlight += 1
    try {
      await next()
    } finally {
      inFlight -= 1
    }
  }
}
