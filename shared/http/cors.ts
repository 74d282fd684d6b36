import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response'
import type { MiddlewareHandler } from 'hono'
import { cors } from 'hono/cors'
import type { AppEnv } from './app-env.ts'

/** How long a browser may remember what it was allowed. */
const MAX_AGE_S = 600

/** Lets pages of these origins read the answers. For none there is no middleware, which would cost each request. */
export function allowOrigins(origins: readonly string[]): MiddlewareHandler<AppEnv>[] {
  if (origins.length === 0) return []
  const exposeHeaders = ['x-request-id', 'retry-after']
  const allow = cors({ origin: [...origins], allowMethods: ['GET', 'HEAD', 'POST'], exposeHeaders, maxAge: MAX_AGE_S })
  return [
    async function allowOrigins(c, next) {
      const answer = await allow(c, next)
      // It adds to every answer when that is made, and so makes another one of a stream that is under way.
      if (c.env.outgoing?.headersSent) {
        c.res = undefined
        c.res = RESPONSE_ALREADY_SENT
      }
      return answer
    },
  ]
}
