import type { Context, MiddlewareHandler, Next } from 'hono'
import { routePath } from 'hono/route'
import { PROBES } from '../shared/contracts/probes.ts'
import type { AppEnv } from '../shared/http/app-env.ts'
import { problem } from '../shared/http/errors.ts'
import { host, optionalPort } from '../shared/runtime/settings.ts'
import { createHostCheck } from '../shared/service/hosts.ts'
import { type App, listen } from '../shared/service/listen.ts'
import type { ServiceSettings } from '../shared/service/run-service.ts'
import type { Service } from '../shared/service/service.ts'

export const operationsSettings = {
  OPS_PORT: optionalPort('Port for operations; if set, only this port serves the console, metrics and API documents'),
  OPS_HOST: host.meta({ description: 'Address for OPS_PORT' }),
}

/** The routes that the public port serves if there is an operations port. A new route is private unless listed here. */
const PUBLIC_ROUTES = new Set([
  '/play/asset/:assetId/user/:userId',
  '/play/asset/:assetId',
  '/play/watched/:viewId',
  '/views/:viewId',
  '/catalogue',
  '/live',
  ...PROBES,
])

/** The paths of public routes except probes. A wrong method matches no route, but must get a 405, not a 404. */
const PUBLIC_PATHS = /^\/(play\/|views\/|catalogue$|live$)/

type Options = { hasOperationsPort: boolean; hasIdentity: boolean }

/** Decides which routes and details a request may access, by the port on which it arrived. */
export function createSurfaces({ hasOperationsPort, hasIdentity }: Options) {
  const isPublic = (c: Context<AppEnv>) => !isOnOperationsPort(c)

  /** Responds with 404 to requests on the public port for routes that are not public. */
  async function publicRoutesOnly(c: Context<AppEnv>, next: Next) {
    if (isPublic(c) && !PUBLIC_ROUTES.has(routePath(c, -1)) && !isUnmatchedPublicPath(c)) return problem(c, 404)
    await next()
  }

  return {
    isPublic,
    publicRoutesOnly: hasOperationsPort ? [publicRoutesOnly] : [],
    /** Applies a middleware to requests on the public port only. */
    onlyPublic: (middleware: MiddlewareHandler<AppEnv>): MiddlewareHandler<AppEnv> =>
      hasOperationsPort ? (c, next) => (isPublic(c) ? middleware(c, next) : next()) : middleware,
    hidesDetails: (c: Context<AppEnv>) => hasOperationsPort && isPublic(c),
    hidesUsers: (c: Context<AppEnv>) => (hasOperationsPort || hasIdentity) && isPublic(c),
  }
}

export function isOnOperationsPort(c: Context<AppEnv>): boolean {
  return c.env?.surface === 'operations'
}

function isUnmatchedPublicPath(c: Context<AppEnv>): boolean {
  const { path } = c.req
  return routePath(c, -1) === '/*' && (PROBES.has(path) || PUBLIC_PATHS.test(path))
}

/**
 * Serves `app` on the operations port too, if there is one.
 * @throws ListenError
 */
export async function serveOperations(
  app: App,
  { log, resources }: Pick<Service, 'log' | 'resources'>,
  { OPS_PORT: port, OPS_HOST: host, ...settings }: ServiceSettings<typeof operationsSettings>,
): Promise<void> {
  if (port === undefined) return
  const isAllowedHost = createHostCheck({ ...settings, HOST: host })
  const options = { host, port, log: log.child({ surface: 'operations' }), isAllowedHost }
  resources.use(await listen(onOperationsPort(app), options))
}

function onOperationsPort(app: App): App {
  return { fetch: (request, env) => app.fetch(request, Object.assign(env, { surface: 'operations' })) }
}
