import type { Context, Hono } from 'hono'
import { z } from 'zod'
import { LIVE_DESCRIPTION, LiveStream } from '../shared/contracts/live.ts'
import { Play } from '../shared/contracts/play.ts'
import { type Degraded, Playback } from '../shared/contracts/playback.ts'
import { type Denial, NotAvailable } from '../shared/contracts/rights.ts'
import { AssetNotFound, Problem } from '../shared/contracts/status.ts'
import { ExplainedView, ViewNotFound, ViewParams } from '../shared/contracts/view-explanation.ts'
import type { AppEnv } from '../shared/http/app-env.ts'
import { createBaseApp } from '../shared/http/base-app.ts'
import { allowOrigins } from '../shared/http/cors.ts'
import { problem } from '../shared/http/errors.ts'
import { limitConcurrency } from '../shared/http/limit-concurrency.ts'
import { describeOperation } from '../shared/http/openapi.ts'
import { requestContextOf, setResponseHeader } from '../shared/http/request-context.ts'
import { validate } from '../shared/http/validate.ts'
import type { LiveFeed } from '../shared/live/live-feed.ts'
import type { Service } from '../shared/service/service.ts'
import { IDEMPOTENCY_KEY, idempotencyKeyOf } from './idempotency-key.ts'
import { isPublic, publicRoutesOnly } from './operations.ts'
import { toPlayback } from './playback.ts'
import type { Player } from './player.ts'
import type { ReadAudience } from './rights/audience.ts'
import type { Audience } from './rights/entitlement.ts'
import type { ViewExplainer } from './view-explainer.ts'

/** Concurrency limit. At full throughput, play completes this many plays in a few tenths of a second. */
const MAX_IN_FLIGHT = 4_000

/** Each of them may read the log. */
const MAX_EXPLAINED = 20

const VIEW_ID = 'view-id'

const VIEW_ID_SCHEMA = { type: 'string' as const, examples: ['019aa3a4-11f0-7abc-8def-0123456789ab'] }

type Deps = Service & {
  play: Player
  explain: ViewExplainer
  live: LiveFeed
  console: Hono<AppEnv>
  /** Origins whose pages may read responses. */
  corsOrigins?: readonly string[] | undefined
  /** If true, the routes for operations and the ids of users are only on the operations port. */
  hasOperationsPort?: boolean
  /** Default: nothing is known about viewers. */
  audienceOf?: ReadAudience
  /** Called for each play that was served degraded. */
  onDegraded: (upstreams: readonly Degraded[]) => void
  /** Called for each play that the rights of its asset do not allow. */
  onDenied: (reasons: readonly Denial[]) => void
}

const NOBODY: Audience = {}

/** The edge: records a view, then responds with everything the player needs. */
export function createApp(deps: Deps) {
  const { play, explain, live, console, onDegraded, onDenied, ...service } = deps
  const { corsOrigins = [], hasOperationsPort = false, audienceOf = () => NOBODY } = deps
  const isRestricted = (c: Context<AppEnv>) => hasOperationsPort && isPublic(c)
  return createBaseApp(service, {
    trustedOrigins: corsOrigins,
    middleware: [...allowOrigins(corsOrigins, [VIEW_ID]), ...(hasOperationsPort ? [publicRoutesOnly] : [])],
    untraced: ['/live', '/status'],
    hidesDetails: isRestricted,
  })
    .route('/', console)
    .post(
      '/play/asset/:assetId/user/:userId',
      describeOperation({
        operationId: 'play',
        summary: 'Play an asset, and record the view',
        description:
          'The counts include this play. `degraded` names the upstreams whose data is missing or stale. A retry with the same `Idempotency-Key` is no other view',
        parameters: [IDEMPOTENCY_KEY],
        responses: { 200: Playback, 404: AssetNotFound },
        responseHeaders: {
          [VIEW_ID]: { description: 'The id of the view', required: true, schema: VIEW_ID_SCHEMA },
        },
        problems: [400, 403, 422, 451, 503],
        problemSchemas: { 403: z.union([NotAvailable, Problem]), 451: NotAvailable },
      }),
      limitConcurrency(MAX_IN_FLIGHT, 'plays'),
      validate('param', Play),
      async (c) => {
        const key = idempotencyKeyOf(c)
        if (key?.error) {
          const path = IDEMPOTENCY_KEY.name
          const errors = key.error.issues.map(({ message }) => ({ path, message }))
          return problem(c, 400, errors)
        }
        const { assetId, userId } = c.req.valid('param')
        const request = requestContextOf(c)
        const played = await play({ assetId, userId }, request, { audience: audienceOf(c), key: key?.data })
        if (!played) return c.json({ id: assetId, status: 'Asset not found', requestId: request.requestId }, 404)
        if ('reasons' in played) {
          const { reasons } = played
          onDenied(reasons)
          const isCountryAlone = reasons.length === 1 && reasons[0] === 'country'
          return c.json({ status: 'Not available', reasons, requestId: request.requestId }, isCountryAlone ? 451 : 403)
        }
        const playback = toPlayback(played)
        if (playback.degraded) onDegraded(playback.degraded)
        setResponseHeader(c, VIEW_ID, played.viewId)
        return c.json(playback)
      },
    )
    .get(
      '/views/:viewId',
      describeOperation({
        operationId: 'explainView',
        summary: 'Explain what became of one view',
        description: 'Also finds views that are in an outbox, or in the log but not counted yet',
        responses: { 200: ExplainedView, 404: ViewNotFound },
        problems: [400, 503],
      }),
      limitConcurrency(MAX_EXPLAINED, 'explanations'),
      validate('param', ViewParams),
      async (c) => {
        const request = requestContextOf(c)
        const explained = await explain(c.req.valid('param').viewId, request)
        if ('state' in explained) return c.json(explained)
        return c.json({ ...explained, requestId: request.requestId }, 404)
      },
    )
    .get(
      '/live',
      describeOperation({
        operationId: 'followCounts',
        summary: 'Subscribe to the counts',
        description: LIVE_DESCRIPTION,
        responses: { 200: LiveStream },
        problems: [503],
      }),
      (c) => live.subscribe(c, isRestricted(c) ? 'public' : 'operations'),
    )
}
