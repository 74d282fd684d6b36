import type { Hono } from 'hono'
import { LIVE_DESCRIPTION, LiveStream } from '../shared/contracts/live.ts'
import { Play } from '../shared/contracts/play.ts'
import { type Degraded, Playback } from '../shared/contracts/playback.ts'
import { AssetNotFound } from '../shared/contracts/status.ts'
import type { AppEnv } from '../shared/http/app-env.ts'
import { createBaseApp } from '../shared/http/base-app.ts'
import { allowOrigins } from '../shared/http/cors.ts'
import { limitConcurrency } from '../shared/http/limit-concurrency.ts'
import { describeOperation } from '../shared/http/openapi.ts'
import { requestContextOf } from '../shared/http/request-context.ts'
import { validate } from '../shared/http/validate.ts'
import type { LiveFeed } from '../shared/live/live-feed.ts'
import type { Service } from '../shared/service/service.ts'
import type { Aggregator } from './aggregate.ts'
import { toPlayback } from './playback.ts'
import type { Recorder } from './recorder.ts'

/** Concurrency limit. At full throughput, play completes this many plays in a few tenths of a second. */
const MAX_IN_FLIGHT = 4_000

type Deps = Service & {
  aggregate: Aggregator
  record: Recorder
  live: LiveFeed
  console: Hono<AppEnv>
  /** Origins whose pages may read responses. */
  corsOrigins?: readonly string[] | undefined
  /** Called for each play that was served degraded. */
  onDegraded: (upstreams: readonly Degraded[]) => void
}

/** The edge: records a view, then responds with everything the player needs. */
export function createApp({ aggregate, record, live, console, onDegraded, corsOrigins = [], ...service }: Deps) {
  return createBaseApp(service, { middleware: allowOrigins(corsOrigins), untraced: ['/live', '/status'] })
    .route('/', console)
    .post(
      '/play/asset/:assetId/user/:userId',
      describeOperation({
        operationId: 'play',
        summary: 'Play an asset, and record the view',
        description: 'The counts include this play. `degraded` names the upstreams whose data is missing or stale',
        responses: { 200: Playback, 404: AssetNotFound },
        problems: [400, 503],
      }),
      limitConcurrency(MAX_IN_FLIGHT, 'plays'),
      validate('param', Play),
      async (c) => {
        const play = c.req.valid('param')
        const request = requestContextOf(c)
        const found = await aggregate(play, request)
        if (!found) {
          return c.json({ id: play.assetId, status: 'Asset not found', requestId: request.requestId }, 404)
        }
        const recorded = await record(play, request)
        const playback = toPlayback(found, recorded)
        if (playback.degraded) onDegraded(playback.degraded)
        return c.json(playback)
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
}
