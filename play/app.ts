import type { Hono } from 'hono'
import { LIVE_DESCRIPTION, LiveStream } from '../shared/contracts/live.ts'
import { Play } from '../shared/contracts/play.ts'
import { type Degraded, Playback } from '../shared/contracts/playback.ts'
import { AssetNotFound } from '../shared/contracts/status.ts'
import { admit } from '../shared/http/admit.ts'
import type { AppEnv } from '../shared/http/app-env.ts'
import { createBaseApp } from '../shared/http/base-app.ts'
import { allowOrigins } from '../shared/http/cors.ts'
import { describe } from '../shared/http/openapi.ts'
import { requestOf } from '../shared/http/request-context.ts'
import { validate } from '../shared/http/validate.ts'
import type { LiveFeed } from '../shared/live/live-feed.ts'
import type { Service } from '../shared/runtime/service.ts'
import { toPlayback } from './playback.ts'
import type { Recorder } from './recorder.ts'
import type { Sources } from './sources.ts'

/** Plays that may be under way at once. At full speed they are answered within a few tenths of a second. */
const MAX_UNDER_WAY = 4_000

type Deps = Service & {
  sources: Sources
  record: Recorder
  live: LiveFeed
  console: Hono<AppEnv>
  /** Whose pages may read the answers; none where it is not given. */
  corsOrigins?: readonly string[] | undefined
  /** Told of what a play was answered without. */
  onDegraded: (parts: readonly Degraded[]) => void
}

/** The edge: answers a play with all that the player needs, once the view is recorded. */
export function createApp({ sources, record, live, console, onDegraded, corsOrigins = [], ...service }: Deps) {
  return createBaseApp(service, ...allowOrigins(corsOrigins))
    .route('/', console)
    .post(
      '/play/asset/:assetId/user/:userId',
      describe({
        operationId: 'play',
        summary: 'Plays an asset, and counts the view',
        description: 'The counts include this play. What could not be asked is named in `degraded`',
        answers: { 200: Playback, 404: AssetNotFound },
        problems: [400, 503],
      }),
      admit(MAX_UNDER_WAY, 'plays'),
      validate('param', Play),
      async (c) => {
        const play = c.req.valid('param')
        const request = requestOf(c)
        const found = await sources.gather(play, request)
        if (!found) return c.json({ id: play.assetId, status: 'Asset not found' }, 404)
        const recorded = await record(play, request)
        const playback = toPlayback(found, recorded)
        if (playback.degraded) onDegraded(playback.degraded)
        return c.json(playback)
      },
    )
    .get(
      '/live',
      describe({
        operationId: 'followCounts',
        summary: 'The counts as they change, as reporting tells them',
        description: LIVE_DESCRIPTION,
        answers: { 200: LiveStream },
        problems: [503],
      }),
      (c) => live.answer(c),
    )
}
