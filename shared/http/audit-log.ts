import type { MiddlewareHandler } from 'hono'
import { createLogThrottle } from '../runtime/log-throttle.ts'
import type { AppEnv } from './app-env.ts'
import { clientAddressOf } from './client-address.ts'
import { idsOf } from './request-context.ts'

const WRITES = new Set(['POST', 'PUT', 'PATCH', 'DELETE'])
const REFUSED = new Set([401, 403])

type Options = {
  /** Paths where a POST is a read. */
  reads?: readonly string[]
  /** Paths that other services write to routinely, so only refused writes to them are logged. */
  internal?: readonly string[]
}

/**
 * Logs who wrote what: each accepted write, and refused writes at most once per second, so that nobody can flood the
 * log. The logged client is the connection's peer, because no header proves who the client is.
 */
export function auditWrites({ reads = [], internal = [] }: Options = {}): MiddlewareHandler<AppEnv> {
  const throttle = createLogThrottle()
  return async function auditWrites(c, next) {
    await next()
    const { method, path } = c.req
    if (!WRITES.has(method) || reads.includes(path)) return
    const { status } = c.res
    const write = { method, path, status, client: clientAddressOf(c), ...idsOf(c) }
    if (REFUSED.has(status)) {
      const times = throttle('refused')
      if (times) c.get('log').warn({ ...write, times }, 'write refused')
    } else if (status < 300 && !internal.includes(path)) c.get('log').info(write, 'write accepted')
  }
}
