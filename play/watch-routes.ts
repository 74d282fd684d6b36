import { randomUUIDv7 } from 'node:crypto'
import { type Context, Hono } from 'hono'
import { ViewParams } from '../shared/contracts/view-explanation.ts'
import { WatchRecorded, WatchReport } from '../shared/contracts/watch.ts'
import { BODY_PROBLEMS, describeOperation } from '../shared/http/openapi.ts'
import { requestContextOf } from '../shared/http/request-context.ts'
import { jsonBody, validate } from '../shared/http/validate.ts'
import type { Identity } from './identity/identity.ts'
import type { PlayEnv } from './play-env.ts'
import type { Recorder } from './recorder.ts'

const PATH = '/play/watched/:viewId'

export type WatchDeps = {
  record: Recorder
  /** If set, reports require the user's token. */
  identity?: Identity | undefined
  /** Returns a response if a report exceeds its user's limit; otherwise undefined. */
  refuseReport?: ((c: Context<PlayEnv>, userId: string) => Response | undefined) | undefined
}

/** `POST /play/watched/:viewId`: records how long a view was watched. reporting matches the report to the view. */
export function createWatchRoutes({ record, identity, refuseReport }: WatchDeps) {
  return new Hono<PlayEnv>().on('POST', [PATH], ...(identity ? [identity.authenticate] : [])).post(
    PATH,
    describeOperation({
      operationId: 'reportWatched',
      summary: 'Report how long a view was watched',
      description:
        'The greatest `seconds` for a view counts, so reports may be repeated, and may arrive in any order. The response is sent once the report is recorded as durably as a play. A report that does not match a view by id, asset and user has no effect. Maximum body size: 65,536 bytes',
      responses: { 202: WatchRecorded },
      problems: [...BODY_PROBLEMS, ...(identity ? [401, 403] : []), 429],
      ...(identity && { security: ['viewerToken'] }),
    }),
    jsonBody(),
    validate('param', ViewParams),
    validate('json', WatchReport),
    async (c) => {
      const { assetId, userId, seconds } = c.req.valid('json')
      const refused = identity?.rejectOther(c, userId) ?? refuseReport?.(c, userId)
      if (refused) return refused
      const watched = { viewId: c.req.valid('param').viewId, seconds }
      await record({ id: randomUUIDv7(), assetId, userId, watched }, requestContextOf(c))
      return c.json({ status: 'recorded' } satisfies WatchRecorded, 202)
    },
  )
}
