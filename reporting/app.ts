import { createMiddleware } from 'hono/factory'
import { Audit } from '../shared/contracts/audit.ts'
import { CountsBehind, type LookupBehind } from '../shared/contracts/counting.ts'
import { EventBatch, isReport, PositionConflict } from '../shared/contracts/event-batch.ts'
import { AssetParams, UserParams } from '../shared/contracts/ids.ts'
import { LIVE_DESCRIPTION, LiveStream } from '../shared/contracts/live.ts'
import { LostViews } from '../shared/contracts/lost-views.ts'
import { Play } from '../shared/contracts/play.ts'
import { Position, toLogPosition, toNullablePosition, toPosition } from '../shared/contracts/position.ts'
import { AssetNotFound, UserNotFound } from '../shared/contracts/status.ts'
import {
  AssetCounts,
  CountLookup,
  type LookedUpCounts,
  LookupResponse,
  PlayCounts,
  TopList,
  TopQuery,
  UserCounts,
} from '../shared/contracts/view-counts.ts'
import { ExplainedView, ViewNotFound, ViewParams } from '../shared/contracts/view-explanation.ts'
import type { AppEnv } from '../shared/http/app-env.ts'
import { auditWrites } from '../shared/http/audit-log.ts'
import { createBaseApp } from '../shared/http/base-app.ts'
import { BODY_PROBLEMS, describeOperation } from '../shared/http/openapi.ts'
import { requireReadToken } from '../shared/http/read-token.ts'
import { BATCH_BODY, jsonBody, LOOKUP_BODY, validate } from '../shared/http/validate.ts'
import { requireWriteToken, type WriteToken } from '../shared/http/write-token.ts'
import type { LiveFeed } from '../shared/live/live-feed.ts'
import type { Secret } from '../shared/runtime/secret.ts'
import type { Service } from '../shared/service/service.ts'
import type { CountStore } from './count-store.ts'
import type { Currentness } from './currentness.ts'
import { createSeriesRoute } from './series-route.ts'
import { summarize } from './summarize.ts'

type Deps = Service & {
  counts: CountStore
  currentness: Pick<Currentness, 'isCurrent' | 'counting' | 'end'>
  live: LiveFeed
  /** The token required for writes. If undefined, writes are open. */
  writeToken?: WriteToken | undefined
  /** The token required for reads that name users; those for writes are accepted too. If undefined, they are open. */
  readToken?: Secret | undefined
}

/** The views of each asset and each user. */
export function createApp({ counts, currentness, live, writeToken, readToken, ...service }: Deps) {
  const requireReader = requireReadToken(readToken, writeToken)
  /** Responds 503 while the counts are too low to be served. */
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
  })
    .route('/', createSeriesRoute({ counts, requireCurrent }))
    .get(
      '/events/asset/:assetId',
      describeOperation({
        operationId: 'getAssetViews',
        summary: 'Get the counts of an asset',
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
        summary: 'Get the counts of a user',
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
    .get(
      '/events/views/:viewId',
      describeOperation({
        operationId: 'explainView',
        summary: 'Explain what became of one view',
        description: 'While the counts are behind the log, a view that is not counted yet is not found',
        responses: { 200: ExplainedView, 404: ViewNotFound },
        problems: [400, 503],
        namesUsers: true,
      }),
      requireReader,
      validate('param', ViewParams),
      async (c) => {
        // Read first: a view that is counted meanwhile is then behind the position.
        const position = toNullablePosition(await counts.position())
        const explanation = await counts.explain(c.req.valid('param').viewId)
        if (explanation) return c.json({ ...explanation, summary: summarize(explanation) })
        const knownSince = (await counts.knownSince())?.toISOString() ?? null
        return c.json({ status: 'View not found', position, knownSince, requestId: c.get('requestId') }, 404)
      },
    )
    .get(
      '/events/audit',
      describeOperation({
        operationId: 'audit',
        summary: 'Account for every view',
        description:
          'All numbers are of one snapshot, in which `views = qualified + pending + the sum of notQualified + direct`',
        responses: { 200: Audit },
        problems: [503],
      }),
      async (c) => {
        const audit = await counts.audit()
        const end = currentness.end()
        const isSameLog = end !== undefined && (!audit.position || end.incarnation === audit.position.stream)
        const waiting = isSameLog ? Math.max(0, end.sequence - (audit.position?.sequence ?? 0)) : null
        return c.json({ ...audit, waiting })
      },
    )
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
    .get(
      '/events/position',
      describeOperation({
        operationId: 'getPosition',
        summary: 'Get the log position that the counts reflect',
        description: 'null before the first batch',
        responses: { 200: Position.nullable() },
        problems: [503],
      }),
      async (c) => c.json(toNullablePosition(await counts.position())),
    )
    .get(
      '/events/lost',
      describeOperation({
        operationId: 'getLostViews',
        summary: 'List the views that the log acknowledged and lost',
        description: 'Lost views are gaps in the serials of their producers; see docs/events.md',
        responses: { 200: LostViews },
        problems: [503],
      }),
      async (c) => c.json(await counts.lost()),
    )
    .post(
      '/events/asset/:assetId/user/:userId',
      describeOperation({
        operationId: 'countView',
        summary: 'Count one view without recording it in the log',
        description:
          'It is lost if reporting is killed before the next checkpoint, or if the counts are replayed from the log',
        responses: { 200: PlayCounts },
        problems: [400, 503, 507],
        isWrite: true,
      }),
      requireWriteToken(writeToken),
      validate('param', Play),
      async (c) => c.json(await counts.count(c.req.valid('param'))),
    )
    .post(
      '/events/lookup',
      describeOperation({
        operationId: 'lookUpCounts',
        summary: 'Look up the counts of many assets and users',
        description:
          'Returns 0 for unknown ids, and no counts at all while they are behind the log. Maximum body size: 4,194,304 bytes',
        responses: { 200: LookupResponse },
        problems: BODY_PROBLEMS,
        namesUsers: true,
      }),
      requireReader,
      jsonBody(LOOKUP_BODY),
      validate('json', CountLookup),
      async (c) => {
        // A 503 would open the circuit of play, although reporting is up.
        if (!currentness.isCurrent()) {
          const { progress } = currentness.counting()
          return c.json({ status: 'Counts are behind', progress } satisfies LookupBehind)
        }
        return c.json((await counts.lookUp(c.req.valid('json'))) satisfies LookedUpCounts)
      },
    )
    .post(
      '/events',
      describeOperation({
        operationId: 'countBatch',
        summary: 'Count a batch from the log that starts at the current position',
        description:
          'Returns the new position, or 409 with the current one if the batch starts elsewhere. A report has no views; it always returns the position, which is null before the first batch. Maximum body size: 20,971,520 bytes',
        responses: { 200: Position.nullable(), 409: PositionConflict },
        problems: [...BODY_PROBLEMS, 507],
        isWrite: true,
      }),
      requireWriteToken(writeToken),
      jsonBody(BATCH_BODY),
      validate('json', EventBatch),
      async (c) => {
        const batch = c.req.valid('json')
        const { stream: incarnation, leaving, ...rest } = batch
        if (isReport(batch)) return c.json(toNullablePosition(await counts.report({ incarnation, ...rest })))
        const applied = await counts.apply({ incarnation, leaving: leaving && toLogPosition(leaving), ...rest })
        if (applied) return c.json(toPosition({ incarnation, sequence: batch.through }))
        const position = toNullablePosition(await counts.position())
        return c.json({ status: 'Position mismatch', position, requestId: c.get('requestId') }, 409)
      },
    )
}
