import { type Context, Hono, type MiddlewareHandler } from 'hono'
import { AssetParams } from '../shared/contracts/ids.ts'
import { Play } from '../shared/contracts/play.ts'
import { type Degraded, Playback } from '../shared/contracts/playback.ts'
import { AssetNotFound } from '../shared/contracts/status.ts'
import { problem } from '../shared/http/errors.ts'
import { describeOperation } from '../shared/http/openapi.ts'
import { requestContextOf, setResponseHeader } from '../shared/http/request-context.ts'
import { validate } from '../shared/http/validate.ts'
import { IDEMPOTENCY_KEY, idempotencyKeyOf } from './idempotency-key.ts'
import type { Identity } from './identity/identity.ts'
import type { PlayEnv } from './play-env.ts'
import { toPlayback } from './playback.ts'
import type { Player } from './player.ts'
import { isPrefetch, type Prefetcher, SEC_PURPOSE } from './prefetch.ts'

const PATH = '/play/asset/:assetId/user/:userId'
/** Without a user: the token names it. */
const OWN_PATH = '/play/asset/:assetId'

/** The response header with the id of the view. */
export const VIEW_ID = 'view-id'
const VIEW_ID_HEADER = {
  description: 'The id of the view; absent from the response to a prefetch',
  schema: { type: 'string' as const, examples: ['019aa3a4-11f0-7abc-8def-0123456789ab'] },
}

export type PlayDeps = {
  play: Player
  prefetch: Prefetcher
  /** If set, plays need a token of the user. */
  identity?: Identity | undefined
  /** Runs before plays, after authentication. */
  limitUsers?: MiddlewareHandler<PlayEnv>[]
  /** Called for each play that was served degraded. */
  onDegraded: (upstreams: readonly Degraded[]) => void
}

/** The routes that record a view, and respond with everything the player needs. */
export function createPlayRoutes({ identity, limitUsers = [], ...deps }: PlayDeps) {
  const respond = createResponder(deps)
  const routes = new Hono<PlayEnv>()
    .on('POST', [PATH], ...(identity ? [identity.authenticate, identity.requireOwnId] : []), ...limitUsers)
    .post(PATH, describePlay('play', 'Play an asset, and record the view', identity), validate('param', Play), (c) =>
      respond(c, c.req.valid('param')),
    )
  if (!identity) return routes
  return routes
    .on('POST', [OWN_PATH], identity.authenticate, ...limitUsers)
    .post(
      OWN_PATH,
      describePlay('playOwn', 'Play an asset as the user that the token names', identity),
      validate('param', AssetParams),
      (c) => respond(c, { ...c.req.valid('param'), userId: c.get('viewer')?.id ?? '' }),
    )
}

function describePlay(operationId: string, summary: string, identity: Identity | undefined) {
  return describeOperation({
    operationId,
    summary,
    description:
      'The counts include this play. `degraded` names the upstreams whose data is missing or stale. A retry with the same `Idempotency-Key` is no other view',
    parameters: [IDEMPOTENCY_KEY, SEC_PURPOSE],
    responses: { 200: Playback, 404: AssetNotFound },
    responseHeaders: { [VIEW_ID]: VIEW_ID_HEADER },
    problems: [400, ...(identity ? [401, 403] : []), 422, 429, 503],
    ...(identity && { security: ['viewerToken'] }),
  })
}

function createResponder({ play, prefetch, onDegraded }: Omit<PlayDeps, 'identity' | 'limitUsers'>) {
  return async (c: Context<PlayEnv>, asked: Play): Promise<Response> => {
    const key = idempotencyKeyOf(c)
    if (key?.error) {
      const path = IDEMPOTENCY_KEY.name
      const errors = key.error.issues.map(({ message }) => ({ path, message }))
      return problem(c, 400, errors)
    }
    const request = requestContextOf(c)
    const played = isPrefetch(c) ? await prefetch(asked, request) : await play(asked, request, key?.data)
    if (!played) return c.json({ id: asked.assetId, status: 'Asset not found', requestId: request.requestId }, 404)
    const playback = toPlayback(played)
    if (playback.degraded) onDegraded(playback.degraded)
    if (played.viewId !== undefined) setResponseHeader(c, VIEW_ID, played.viewId)
    return c.json(playback)
  }
}
