import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response'
import type { MiddlewareHandler } from 'hono'
import { cors } from 'hono/cors'
import type { AppEnv } from './app-env.ts'

/** How long browsers cache a preflight response. */
const MAX_AGE_S = 600

/**
 * Lets pages from these origins read responses. If there are no origins, returns no middleware, to avoid its cost.
 * @param exposed the response headers that pages may read, besides the common ones
 */
export function allowOrigins(origins: readonly string[], exposed: readonly string[] = []): MiddlewareHandler<AppEnv>[] {
  if (origins.length === 0) return []
  const exposeHeaders = ['x-request-id', 'retry-after', ...exposed]
  const allow = cors({ origin: [...origins], allowMethods: ['GET', 'HEAD', 'POST'], exposeHeaders, maxAge: MAX_AGE_S })
  return [
    async function allowOrigins(c, next) {
      const response = await allow(c, next)
      // To add headers, Hono's middleware replaces the response. Undo this if the response is a stream in progress.
      if (c.env?.outgoing?.headersSent) {
        c.res = undefined
        c.res = RESPONSE_ALREADY_SENT
      }
      return response
    },
  ]
}
