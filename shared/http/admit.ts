import type { MiddlewareHandler } from 'hono'
import { type ErrorDetails, UnavailableError } from '../runtime/unavailable.ts'

/**
 * Bounds what waits in memory: who comes while so many requests are under way is told at once to come again.
 * @param what is under way, in the plural, for the log
 * @param details what the 503 has besides
 */
export function admit(max: number, what: string, details?: ErrorDetails): MiddlewareHandler {
  let underWay = 0
  return async function admit(_, next) {
    if (underWay >= max) throw new UnavailableError(`too many ${what} are under way`, { details })
    underWay += 1
    try {
      await next()
    } finally {
      underWay -= 1
    }
  }
}
