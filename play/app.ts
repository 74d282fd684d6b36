import type { Hono, MiddlewareHandler } from 'hono'
import { LIVE_DESCRIPTION, LiveStream } from '../shared/contracts/live.ts'
import { Play } from '../shared/contracts/play.ts'
import { type Degraded, Playback } from '../shared/contracts/playback.ts'
import { AssetNotFound } from '../shared/contracts/status.ts'
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
import { RATE_LIMIT_HEADERS } from './limits/rate-limit.ts'
import type { PlayEnv } from './play-env.ts'
import { toPlayback } from './playback.ts'
import type { Player } from './player.ts'
import { isPrefetch, type Prefetcher } from './prefetch.ts'
import type { ViewExplainer } from './view-explainer.ts'

/** Each of them may read the log. */
const MAX_EXPLAINED = 20

const PLAY = '/play/asset/:assetId/user/:userId'

const VIEW_ID = 'view-id'

const VIEW_ID_SCHEMA = { type: 'string' as const, examples: ['019aa3a4-11f0-7abc-8def-0123456789ab'] }

type Deps = Service & {
  play: Player
  prefetch: Prefetcher
  explain: ViewExplainer
  live: LiveFeed
  console: Hono<AppEnv>
  /** Origins whose pages may read responses. */
  corsOrigins?: readonly string[] | undefined
  /** Runs before all routes, and before `shedLoad`. */
  limitClients?: MiddlewareHandler<AppEnv>[]
  /** Runs before all routes. */
  shedLoad: MiddlewareHandler<AppEnv>
  /** Runs before plays, after authentication. */
  limitUsers?: MiddlewareHandler<PlayEnv>[]
  /** Called for each play that was served degraded. */
  onDegraded: (upstreams: readonly Degraded[]) => void
}

/** The edge: records a view, then responds with everything the player needs. */
export function createApp({ play, prefetch, explain, live, console, onDegraded, ...deps }: Deps) {
  const { corsOrigins = [], limitClients = [], shedLoad, limitUsers = [], ...service } = deps
  const exposed = limitClients.length + limitUsers.length > 0 ? [VIEW_ID, ...RATE_LIMIT_HEADERS] : [VIEW_ID]
  const middleware = [...allowOrigins(corsOrigins, exposed), ...limitClients, shedLoad]
  return createBaseApp(service, { middleware, untraced: ['/live', '/status'] })
    .route('/', console)
    .use(PLAY, ...limitUsers)
    .post(
      PLAY,
      describeOperation({
        operationId: 'play',
        summary: 'Play an asset, and record the view',
        description:
          'The counts include this play. `degraded` names the upstreams whose data is missing or stale. A retry with the same `Idempotency-Key` is no other view. With the header `Sec-Purpose: prefetch`, the response is the same, but no view is recorded: the counts do not include it, and there is no `view-id`',
        parameters: [IDEMPOTENCY_KEY],
        responses: { 200: Playback, 404: AssetNotFound },
        responseHeaders: {
          [VIEW_ID]: {
            description: 'The id of the view; absent from the response to a prefetch',
            schema: VIEW_ID_SCHEMA,
          },
        },
        problems: [400, 422, 429, 503],
      }),
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
        const played = isPrefetch(c)
          ? await prefetch({ assetId, userId }, request)
          : await play({ assetId, userId }, request, key?.data)
        if (!played) return c.json({ id: assetId, status: 'Asset not found', requestId: request.requestId }, 404)
        const playback = toPlayback(played)
        if (playback.degraded) onDegraded(playback.degraded)
        if (played.viewId !== undefined) setResponseHeader(c, VIEW_ID, played.viewId)
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
        problems: [400, 429, 503],
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
        problems: [429, 503],
      }),
      (c) => live.subscribe(c),
    )
}
