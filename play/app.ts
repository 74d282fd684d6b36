import type { Hono, MiddlewareHandler } from 'hono'
import { createTraceRoutes, type TraceDeps } from '../console/traces/routes.ts'
import { LIVE_DESCRIPTION, LiveStream } from '../shared/contracts/live.ts'
import type { AppEnv } from '../shared/http/app-env.ts'
import { createBaseApp } from '../shared/http/base-app.ts'
import { allowOrigins } from '../shared/http/cors.ts'
import { describeOperation } from '../shared/http/openapi.ts'
import type { LiveFeed } from '../shared/live/live-feed.ts'
import type { Secret } from '../shared/runtime/secret.ts'
import type { Health } from '../shared/service/health.ts'
import type { Service } from '../shared/service/service.ts'
import { RATE_LIMIT_HEADERS } from './limits/rate-limit.ts'
import { createSurfaces } from './operations.ts'
import { createPlayRoutes, type PlayDeps, VIEW_ID } from './play-routes.ts'
import { createTraceAccess } from './trace-access.ts'
import { createViewRoutes, type ViewDeps } from './view-routes.ts'
import { createWatchRoutes, type WatchDeps } from './watch-routes.ts'

/** These routes are not traced, because the console polls them and keeps `/live` open. */
const UNTRACED = ['/live', '/status', '/series', '/history', '/traces', '/controls']

type Deps = Service &
  PlayDeps &
  WatchDeps &
  Omit<ViewDeps, 'hidesUsers'> & {
    live: LiveFeed
    console: Hono<AppEnv>
    /** If unset, `/traces/:traceId` shows only this process's spans. */
    traces?: TraceDeps
    /** READ_TOKEN, if it is set, and the write tokens. */
    tokens?: readonly Secret[]
    /** Origins whose pages may send play requests, and read the responses. */
    corsOrigins?: readonly string[] | undefined
    /** If true, only the operations port serves the operations routes and reveals user ids. */
    hasOperationsPort?: boolean
    /** Runs before all routes, and before `shedLoad`. */
    limitClients?: MiddlewareHandler<AppEnv>[]
    /** Runs before all routes. */
    shedLoad: MiddlewareHandler<AppEnv>
    /** The response to `/readyz`. Must be cheap to compute, because anyone can call `/readyz` as often as they like. */
    readiness?: Health['readiness']
  }

/** The edge's routes and middleware. */
export function createApp(deps: Deps) {
  const { live, console, identity, corsOrigins = [], limitClients = [], limitUsers = [], shedLoad, readiness } = deps
  const surfaces = createSurfaces({
    hasOperationsPort: deps.hasOperationsPort ?? false,
    hasIdentity: identity !== undefined,
  })
  const { isPublic, onlyPublic, publicRoutesOnly, hidesDetails, hidesUsers } = surfaces
  const exposed = [
    VIEW_ID,
    ...(limitClients.length + limitUsers.length > 0 ? RATE_LIMIT_HEADERS : []),
    ...(identity ? ['www-authenticate'] : []),
  ]
  const publicOnly = [...allowOrigins(corsOrigins, exposed), ...limitClients].map(onlyPublic)
  const access = createTraceAccess({ identity, tokens: deps.tokens ?? [], hidesUsers })
  return createBaseApp(deps, {
    isTrustedOrigin: (origin, c) => isPublic(c) && corsOrigins.includes(origin),
    middleware: [...publicOnly, shedLoad, ...publicRoutesOnly],
    untraced: UNTRACED,
    hidesDetails,
    readiness,
    ...(deps.traces && { traces: createTraceRoutes({ ...deps.traces, ...access }) }),
  })
    .route('/', console)
    .route('/', createPlayRoutes(deps))
    .route('/', createWatchRoutes(deps))
    .route('/', createViewRoutes({ ...deps, hidesUsers }))
    .get(
      '/live',
      describeOperation({
        operationId: 'followCounts',
        summary: 'Subscribe to the counts',
        description: LIVE_DESCRIPTION,
        responses: { 200: LiveStream },
        problems: [429, 503],
      }),
      (c) => live.subscribe(c, hidesUsers(c) ? 'public' : 'operations'),
    )
}
