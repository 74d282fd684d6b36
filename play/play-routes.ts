import { type Context, Hono, type MiddlewareHandler } from 'hono'
import { z } from 'zod'
import { AssetParams } from '../shared/contracts/ids.ts'
import { Play } from '../shared/contracts/play.ts'
import { type Degraded, Playback } from '../shared/contracts/playback.ts'
import { type Denial, NotAvailable } from '../shared/contracts/rights.ts'
import { AssetNotFound, Problem } from '../shared/contracts/status.ts'
import { PLAY_ATTRIBUTES } from '../shared/contracts/trace.ts'
import { problem } from '../shared/http/errors.ts'
import { describeOperation } from '../shared/http/openapi.ts'
import { requestContextOf, setResponseHeader } from '../shared/http/request-context.ts'
import { validate } from '../shared/http/validate.ts'
import type { RequestContext } from '../shared/tracing/tracing.ts'
import { IDEMPOTENCY_KEY, idempotencyKeyOf } from './idempotency-key.ts'
import type { Identity } from './identity/identity.ts'
import type { PlayEnv } from './play-env.ts'
import { toPlayback } from './playback.ts'
import type { Player } from './player.ts'
import { isPrefetch, type Prefetcher } from './prefetch.ts'
import type { ReadAudience } from './rights/audience.ts'
import type { Audience, Refused } from './rights/entitlement.ts'

const PATH = '/play/asset/:assetId/user/:userId'
/** The path without a user id: the token names the user. */
const OWN_PATH = '/play/asset/:assetId'

/** The response header with the view's id. */
export const VIEW_ID = 'view-id'
const VIEW_ID_HEADER = {
  description: "The view's id; absent from the response to a prefetch",
  schema: { type: 'string' as const, examples: ['01a1fac2-7b60-7abc-8def-0123456789ab'] },
}

export type PlayDeps = {
  play: Player
  prefetch: Prefetcher
  /** If set, plays require the user's token. */
  identity?: Identity | undefined
  /** Runs after authentication, and before plays. */
  limitUsers?: MiddlewareHandler<PlayEnv>[]
  /** By default, viewers' countries and plans are unknown. */
  audienceOf?: ReadAudience
  /** Called for each degraded play that is served. */
  onDegraded: (upstreams: readonly Degraded[]) => void
  /** Called for each play that its asset's rights do not allow. */
  onDenied: (reasons: readonly Denial[]) => void
}

const NOBODY: Audience = {}

/** The routes that record a view, and respond with everything the player needs. */
export function createPlayRoutes({ identity, limitUsers = [], ...deps }: PlayDeps) {
  const respond = createResponder(deps)
  const routes = new Hono<PlayEnv>()
    // `on` with a list of paths takes zero or more handlers; `post` needs at least one, and `use` runs for every method.
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
      (c) => {
        const viewer = c.get('viewer')
        if (!viewer) throw new Error('authenticate did not set the viewer')
        return respond(c, { ...c.req.valid('param'), userId: viewer.id })
      },
    )
}

function describePlay(operationId: string, summary: string, identity: Identity | undefined) {
  return describeOperation({
    operationId,
    summary,
    description:
      'The counts include this play. `degraded` names the upstreams whose data is missing or stale. A retry with the same `Idempotency-Key` does not record a second view. With the header `Sec-Purpose: prefetch`, the response is the same, but no view is recorded: the counts do not include it, and there is no `view-id`',
    parameters: [IDEMPOTENCY_KEY],
    responses: { 200: Playback, 404: AssetNotFound },
    responseHeaders: { [VIEW_ID]: VIEW_ID_HEADER },
    problems: [400, ...(identity ? [401] : []), 403, 422, 429, 451, 503],
    problemSchemas: { 403: z.union([NotAvailable, Problem]), 451: NotAvailable },
    ...(identity && { security: ['viewerToken'] }),
  })
}

function createResponder(deps: Omit<PlayDeps, 'identity' | 'limitUsers'>) {
  const { play, prefetch, audienceOf = () => NOBODY, onDegraded, onDenied } = deps

  return async (c: Context<PlayEnv>, requested: Play): Promise<Response> => {
    const key = idempotencyKeyOf(c)
    if (key?.error) {
      const path = IDEMPOTENCY_KEY.name
      const errors = key.error.issues.map(({ message }) => ({ path, message }))
      return problem(c, 400, errors)
    }
    const request = requestContextOf(c)
    const options = { audience: audienceOf(c), key: key?.data }
    const isPrefetching = isPrefetch(c)
    if (request.span.isRecorded && !isPrefetching) annotatePlay(request, requested)
    const played = await (isPrefetching ? prefetch : play)(requested, request, options)
    if (!played) return c.json({ id: requested.assetId, status: 'Asset not found', requestId: request.requestId }, 404)
    if ('reasons' in played) {
      if (!isPrefetching) onDenied(played.reasons)
      return refuse(c, played)
    }
    const playback = toPlayback(played)
    if (playback.degraded && !isPrefetching) onDegraded(playback.degraded)
    if (played.viewId !== undefined) {
      setResponseHeader(c, VIEW_ID, played.viewId)
      if (request.span.isRecorded) request.span.annotate({ [PLAY_ATTRIBUTES.viewId]: played.viewId })
    }
    return c.json(playback)
  }
}

/** Sets the attributes by which `GET /traces` recognizes a play. */
function annotatePlay({ requestId, span }: RequestContext, { assetId, userId }: Play): void {
  span.annotate({
    [PLAY_ATTRIBUTES.assetId]: assetId,
    [PLAY_ATTRIBUTES.userId]: userId,
    [PLAY_ATTRIBUTES.requestId]: requestId,
  })
}

/** 451 is for legal obstacles (RFC 7725), such as rights that exclude the viewer's country. */
function refuse(c: Context<PlayEnv>, { reasons }: Refused): Response {
  const status = reasons.every((reason) => reason === 'country') ? 451 : 403
  return c.json({ status: 'Not available', reasons, requestId: c.get('requestId') } satisfies NotAvailable, status)
}
