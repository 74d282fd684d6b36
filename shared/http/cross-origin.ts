import type { Context, MiddlewareHandler } from 'hono'
import type { AppEnv } from './app-env.ts'
import { problem } from './errors.ts'
import { headerOf } from './request-context.ts'

const SAFE_METHODS = new Set(['GET', 'HEAD', 'OPTIONS'])

export type IsTrustedOrigin = (origin: string, c: Context<AppEnv>) => boolean

/**
 * Refuses state-changing requests from pages on other origins (CSRF), unless the origin is trusted. A client that is
 * not a browser sends neither `Sec-Fetch-Site` nor `Origin`, and is not affected.
 * https://developer.mozilla.org/en-US/docs/Web/HTTP/Reference/Headers/Sec-Fetch-Site
 */
export function refuseCrossOrigin(isTrusted: IsTrustedOrigin = () => false): MiddlewareHandler<AppEnv> {
  return function refuseCrossOrigin(c, next) {
    if (SAFE_METHODS.has(c.req.method) || isSameOrigin(c)) return next()
    const origin = headerOf(c, 'origin')
    if (origin !== undefined && isTrusted(origin, c)) return next()
    const message = 'pages on other origins may not send this request'
    return Promise.resolve(problem(c, 403, [{ path: 'origin', message }]))
  }
}

/** Older browsers send only `Origin`. Its scheme is ignored, because a proxy may terminate TLS. */
function isSameOrigin(c: Context<AppEnv>): boolean {
  const site = headerOf(c, 'sec-fetch-site')
  if (site !== undefined) return site === 'same-origin' || site === 'none'
  const origin = headerOf(c, 'origin')
  return origin === undefined || origin.replace(/^https?:\/\//, '') === headerOf(c, 'host')
}
