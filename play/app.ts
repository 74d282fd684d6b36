import type { Context, Hono, MiddlewareHandler } from 'hono'
import { LIVE_DESCRIPTION, LiveStream } from '../shared/contracts/live.ts'
import type { AppEnv } from '../shared/http/app-env.ts'
import { createBaseApp } from '../shared/http/base-app.ts'
import { allowOrigins } from '../shared/http/cors.ts'
import { describeOperation } from '../shared/http/openapi.ts'
import type { LiveFeed } from '../shared/live/live-feed.ts'
import type { Service } from '../shared/service/service.ts'
import { RATE_LIMIT_HEADERS } from './limits/rate-limit.ts'
import { isPublic, onlyPublic, publicRoutesOnly } from './operations.ts'
import { createPlayRoutes, type PlayDeps, VIEW_ID } from './play-routes.ts'
import { createViewRoutes, type ViewDeps } from './view-routes.ts'

/** The console keeps `/live` open, and polls the others. */
const UNTRACED = ['/live', '/status', '/series']

type Deps = Service &
  PlayDeps &
  ViewDeps & {
    live: LiveFeed
    console: Hono<AppEnv>
    /** Origins whose pages may play, and read responses. */
    corsOrigins?: readonly string[] | undefined
    /** If true, the routes for operations and the ids of users are only on the operations port. */
    hasOperationsPort?: boolean
    /** Runs before all routes, and before `shedLoad`. */
    limitClients?: MiddlewareHandler<AppEnv>[]
    /** Runs before all routes. */
    shedLoad: MiddlewareHandler<AppEnv>
  }

/** The edge. */
export function createApp(deps: Deps) {
  const { live, console, identity, corsOrigins = [], limitClients = [], limitUsers = [], hasOperationsPort } = deps
  const exposed = [
    VIEW_ID,
    ...(limitClients.length + limitUsers.length > 0 ? RATE_LIMIT_HEADERS : []),
    ...(identity ? ['www-authenticate'] : []),
  ]
  const admission = [...limitClients, deps.shedLoad]
  const isStranger = (c: Context<AppEnv>) => hasOperationsPort === true && isPublic(c)
  return createBaseApp(deps, {
    trustedOrigins: corsOrigins,
    middleware: [
      ...allowOrigins(corsOrigins, exposed),
      ...(hasOperationsPort ? [publicRoutesOnly, ...admission.map(onlyPublic)] : admission),
    ],
    untraced: UNTRACED,
    hidesDetails: isStranger,
  })
    .route('/', console)
    .route('/', createPlayRoutes(deps))
    .route('/', createViewRoutes(deps))
    .get(
      '/live',
      describeOperation({
        operationId: 'followCounts',
        summary: 'Subscribe to the counts',
        description: LIVE_DESCRIPTION,
        responses: { 200: LiveStream },
        problems: [429, 503],
      }),
      (c) => live.subscribe(c, isStranger(c) || (identity && isPublic(c)) ? 'public' : 'operations'),
    )
}
