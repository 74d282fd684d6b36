import { randomUUID } from 'node:crypto'
import type { Context, Hono } from 'hono'
import { AssetParams } from '../shared/contracts/ids.ts'
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
import type { RequestContext } from '../shared/tracing/tracing.ts'
import { IDEMPOTENCY_KEY, idempotencyKeyOf } from './idempotency-key.ts'
import type { Identity } from './identity/identity.ts'
import type { PlayEnv, Viewer } from './play-env.ts'
import { toPlayback } from './playback.ts'
import type { Player } from './player.ts'
import type { ViewExplainer } from './view-explainer.ts'

/** Concurrency limit. At full throughput, play completes this many plays in a few tenths of a second. */
const MAX_IN_FLIGHT = 4_000

/** Each of them may read the log. */
const MAX_EXPLAINED = 20

const PLAY_PATH = '/play/asset/:assetId/user/:userId'
/** Without a user: the token names it. */
const OWN_PLAY_PATH = '/play/asset/:assetId'
const VIEW_PATH = '/views/:viewId'

const VIEW_ID = 'view-id'

const VIEW_ID_SCHEMA = { type: 'string' as const, examples: ['019aa3a4-11f0-7abc-8def-0123456789ab'] }

type Deps = Service & {
  play: Player
  explain: ViewExplainer
  live: LiveFeed
  console: Hono<AppEnv>
  /** Origins whose pages may read responses. */
  corsOrigins?: readonly string[] | undefined
  /** If set, plays and explanations need a token of the user. */
  identity?: Identity | undefined
  /** Called for each play that was served degraded. */
  onDegraded: (upstreams: readonly Degraded[]) => void
}

/** The edge: records a view, then responds with everything the player needs. */
export function createApp({ play, explain, live, console, identity, onDegraded, corsOrigins = [], ...service }: Deps) {
  const exposed = identity ? [VIEW_ID, 'www-authenticate'] : [VIEW_ID]
  const app = createBaseApp(service, {
    middleware: allowOrigins(corsOrigins, exposed),
    untraced: ['/live', '/status'],
  }).route('/', console)
  const limitPlays = limitConcurrency(MAX_IN_FLIGHT, 'plays')
  const respond = createResponder({ play, onDegraded })

  if (identity) {
    app.on('POST', [PLAY_PATH], identity.authenticate, identity.requireOwnId)
    app.on('GET', [VIEW_PATH], identity.authenticateReader)
    app.post(
      OWN_PLAY_PATH,
      describePlay('playOwn', 'Play an asset as the user that the token names', [401, 403]),
      identity.authenticate,
      limitPlays,
      validate('param', AssetParams),
      (c) => {
        const viewer = viewerOf(c)
        if (!viewer) throw new Error('authenticate sets the viewer')
        return respond(c, { ...c.req.valid('param'), userId: viewer.id })
      },
    )
  }
  return app
    .post(
      PLAY_PATH,
      describePlay('play', 'Play an asset, and record the view', identity ? [401, 403] : []),
      limitPlays,
      validate('param', Play),
      (c) => respond(c, c.req.valid('param')),
    )
    .get(
      VIEW_PATH,
      describeOperation({
        operationId: 'explainView',
        summary: 'Explain what became of one view',
        description: 'Also finds views that are in an outbox, or in the log but not counted yet',
        responses: { 200: ExplainedView, 404: ViewNotFound },
        problems: identity ? [400, 403, 503] : [400, 503],
        ...(identity && { security: identity.readers }),
      }),
      limitConcurrency(MAX_EXPLAINED, 'explanations'),
      validate('param', ViewParams),
      async (c) => {
        const request = requestContextOf(c)
        const explained = await explainTo(viewerOf(c), c.req.valid('param').viewId, request)
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
      (c) => live.subscribe(c),
    )

  /** A user sees only own views. Another one is looked up as a view that does not exist, so that both look the same. */
  async function explainTo(viewer: Viewer | undefined, viewId: string, request: RequestContext) {
    const explained = await explain(viewId, request)
    const isForeign = viewer && 'state' in explained && explained.userId !== viewer.id
    return isForeign ? explain(randomUUID(), request) : explained
  }
}

function describePlay(operationId: string, summary: string, rejections: number[]) {
  return describeOperation({
    operationId,
    summary,
    description:
      'The counts include this play. `degraded` names the upstreams whose data is missing or stale. A retry with the same `Idempotency-Key` is no other view',
    parameters: [IDEMPOTENCY_KEY],
    responses: { 200: Playback, 404: AssetNotFound },
    responseHeaders: {
      [VIEW_ID]: { description: 'The id of the view', required: true, schema: VIEW_ID_SCHEMA },
    },
    problems: [400, ...rejections, 422, 503],
    ...(rejections.length > 0 && { security: ['viewerToken'] }),
  })
}

/** Plays, and responds with what the player needs. */
function createResponder({ play, onDegraded }: Pick<Deps, 'play' | 'onDegraded'>) {
  return async (c: Context<AppEnv>, { assetId, userId }: Play): Promise<Response> => {
    const key = idempotencyKeyOf(c)
    if (key?.error) {
      const path = IDEMPOTENCY_KEY.name
      const errors = key.error.issues.map(({ message }) => ({ path, message }))
      return problem(c, 400, errors)
    }
    const request = requestContextOf(c)
    const played = await play({ assetId, userId }, request, key?.data)
    if (!played) return c.json({ id: assetId, status: 'Asset not found', requestId: request.requestId }, 404)
    const playback = toPlayback(played)
    if (playback.degraded) onDegraded(playback.degraded)
    setResponseHeader(c, VIEW_ID, played.viewId)
    return c.json(playback)
  }
}

function viewerOf(c: Context<PlayEnv>): Viewer | undefined {
  return c.get('viewer')
}
