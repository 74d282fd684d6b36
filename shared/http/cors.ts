import type { MiddlewareHandler } from 'hono'
import { cors } from 'hono/cors'
import type { AppEnv } from './app-env.ts'

/** How long a browser may remember what it was allowed. */
const MAX_AGE_S = 600

/** Lets pages of these origins read the answers. For none there is no middleware, which would cost each request. */
export function allowOrigins(origins: readonly string[]): MiddlewareHandler<AppEnv>[] {
  if (origins.length === 0) return []
  const exposeHeaders = ['x-request-id', 'retry-after']
  return [cors({ origin: [...origins], allowMethods: ['GET', 'HEAD', 'POST'], exposeHeaders, maxAge: MAX_AGE_S })]
}
