import { createMiddleware } from 'hono/factory'
import { z } from 'zod'
import { CountsBehind, type LookupBehind } from '../shared/contracts/counting.ts'
import { AssetParams, UserParams } from '../shared/contracts/ids.ts'
import { LIVE_DESCRIPTION, LiveStream } from '../shared/contracts/live.ts'
import { AssetNotFound, UserNotFound } from '../shared/contracts/status.ts'
import {
  AssetCounts,
  CountLookup,
  ListedResponse,
  type ListedViews,
  type LookedUpCounts,
  LookupQuery,
  TopList,
  TopQuery,
  UserCounts,
} from '../shared/contracts/view-counts.ts'
import type { AppEnv } from '../shared/http/app-env.ts'
import { auditWrites } from '../shared/http/audit-log.ts'
import { createBaseApp } from '../shared/http/base-app.ts'
import { BODY_PROBLEMS, describeOperation } from '../shared/http/openapi.ts'
import { requireReadToken } from '../shared/http/read-token.ts'
import { createTraceRoute } from '../shared/http/trace-route.ts'
import { jsonBody, LOOKUP_BODY, validate } from '../shared/http/validate.ts'
import type { WriteToken } from '../shared/http/write-token.ts'
import type { LiveFeed } from '../shared/live/live-feed.ts'
import type { Secret } from '../shared/runtime/secret.ts'
import type { Service } from '../shared/service/service.ts'
import { createAuditRoutes } from './audit-routes.ts'
import type { CountStore } from './count-store.ts'
import type { Currentness } from './currentness.ts'
import { createSeriesRoute } from './series-route.ts'
import { createViewRoute } from './view-route.ts'
import { createWriteRoutes } from './write-routes.ts'

const CompiledLookup = z.compile(CountLookup, { strict: true })

type Deps = Service & {
  counts: CountStore
  currentness: Pick<Currentness, 'isCurrent' | 'counting' | 'end'>
  live: LiveFeed
  /** The token required for writes. If undefined, writes need no token. */
  writeToken?: WriteToken | undefined
  /**
   * The token required for reads that name users; write tokens are accepted too. If undefined, these reads need no
   * token.
   */
  readToken?: Secret | undefined
}

/** The HTTP API that counts views and serves the counts for each asset and user. */
export function createApp({ counts, currentness, live, writeToken, readToken, ...service }: Deps) {
  const requireReader = requireReadToken(readToken, writeToken)
  /** Responds 503 while the counts are behind the log. */
  const requireCurrent = createMiddleware<AppEnv>(async (c, next) => {
    if (currentness.isCurrent()) return next()
    const { progress } = currentness.counting()
    c.header('retry-after', '1')
    const body: CountsBehind = { status: 'Counts are behind', progress, requestId: c.get('requestId') }
    return c.json(body, 503)
  })

  return createBaseApp(service, {
    middleware: [auditWrites({ reads: ['/events/lookup'], internal: ['/events'] })],
    untraced: ['/events/live'],
    traces: createTraceRoute({ ...service, requireReader }),
  })
    .route('/', createSeriesRoute({ counts, requireCurrent }))
    .get(
      '/events/asset/:assetId',
      describeOperation({
        operationId: 'getAssetViews',
        summary: "Get an asset's counts",
        responses: { 200: AssetCounts, 404: AssetNotFound },
        problems: [400, 503],
        problemSchemas: { 503: CountsBehind },
      }),
      validate('param', AssetParams),
      requireCurrent,
      async (c) => {
        const id = c.req.valid('param').assetId
        const found = await counts.counts('asset', id)
        if (found) return c.json({ id, ...found })
        return c.json({ id, status: 'Asset not found', requestId: c.get('requestId') }, 404)
      },
    )
    .get(
      '/events/user/:userId',
      describeOperation({
        operationId: 'getUserViews',
        summary: "Get a user's counts",
        responses: { 200: UserCounts, 404: UserNotFound },
        problems: [400, 503],
        problemSchemas: { 503: CountsBehind },
        namesUsers: true,
      }),
      requireReader,
      validate('param', UserParams),
      requireCurrent,
      async (c) => {
        const id = c.req.valid('param').userId
        const found = await counts.counts('user', id)
        if (found) return c.json({ id, ...found })
        return c.json({ id, status: 'User not found', requestId: c.get('requestId') }, 404)
      },
    )
    .get(
      '/events/top',
      describeOperation({
        operationId: 'getTop',
        summary: 'List the most viewed assets or the most active users',
        responses: { 200: TopList },
        problems: [400, 503],
        problemSchemas: { 503: CountsBehind },
        namesUsers: true,
      }),
      requireReader,
      validate('query', TopQuery),
      requireCurrent,
      async (c) => {
        const { by, of, limit } = c.req.valid('query')
        return c.json({ by, of, top: await counts.top(by, of, limit) })
      },
    )
    .route('/', createViewRoute({ counts, requireReader }))
    .route('/', createAuditRoutes({ counts, currentness }))
    .get(
      '/events/live',
      describeOperation({
        operationId: 'followCounts',
        summary: 'Subscribe to the counts',
        description: LIVE_DESCRIPTION,
        responses: { 200: LiveStream },
        problems: [503],
        namesUsers: true,
      }),
      requireReader,
      (c) => live.subscribe(c),
    )
    .route('/', createWriteRoutes({ counts, writeToken }))
    .post(
      '/events/lookup',
      describeOperation({
        operationId: 'lookUpCounts',
        summary: 'Look up the counts for many assets and users',
        description:
          'Unknown ids have a count of 0. While the counts are behind the log, the response contains only a status. Maximum body size: 4,194,304 bytes',
        responses: { 200: ListedResponse },
        problems: BODY_PROBLEMS,
        namesUsers: true,
      }),
      requireReader,
      jsonBody(LOOKUP_BODY),
      validate('query', LookupQuery),
      validate('json', CountLookup, CompiledLookup),
      async (c) => {
        // A 503 would open play's circuit breaker, although reporting is up.
        if (!currentness.isCurrent()) {
          const { progress } = currentness.counting()
          return c.json({ status: 'Counts are behind', progress } satisfies LookupBehind)
        }
        const ids = c.req.valid('json')
        const { as, producer } = c.req.valid('query')
        if (as === 'lists') return c.json((await counts.listViews(ids, producer)) satisfies ListedViews)
        return c.json((await counts.lookUp(ids)) satisfies LookedUpCounts)
      },
    )
}
