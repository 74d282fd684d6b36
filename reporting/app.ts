import { EventBatch, PositionConflict } from '../shared/contracts/event-batch.ts'
import { AssetParams, UserParams } from '../shared/contracts/ids.ts'
import { LIVE_DESCRIPTION, LiveStream } from '../shared/contracts/live.ts'
import { Play } from '../shared/contracts/play.ts'
import { Position } from '../shared/contracts/position.ts'
import { AssetNotFound, UserNotFound } from '../shared/contracts/status.ts'
import {
  CountLookup,
  LookedUpCounts,
  PlayCounts,
  TopList,
  TopQuery,
  ViewCount,
} from '../shared/contracts/view-counts.ts'
import { createBaseApp } from '../shared/http/base-app.ts'
import { BODY_PROBLEMS, describe } from '../shared/http/openapi.ts'
import { BATCH_BODY, jsonBody, validate } from '../shared/http/validate.ts'
import { guardWrite } from '../shared/http/write-guard.ts'
import type { LiveFeed } from '../shared/live/live-feed.ts'
import type { Service } from '../shared/runtime/service.ts'
import type { CountedBy, ViewCounts } from './view-counts.ts'

type Deps = Service & {
  counts: ViewCounts
  live: LiveFeed
  /** What a write must bring; undefined lets everybody write. */
  writeToken?: string | undefined
}

/** The views of each asset and each user. */
export function createApp({ counts, live, writeToken, ...service }: Deps) {
  const countsOf = (by: CountedBy, ids: string[]) =>
    Object.fromEntries(ids.map((id) => [id, counts.views(by, id) ?? 0]))

  return createBaseApp(service)
    .get(
      '/events/asset/:assetId',
      describe({
        operationId: 'getAssetViews',
        summary: 'The views of an asset',
        answers: { 200: ViewCount, 404: AssetNotFound },
        problems: [400],
      }),
      validate('param', AssetParams),
      (c) => {
        const id = c.req.valid('param').assetId
        const views = counts.views('asset', id)
        return views === undefined ? c.json({ id, status: 'Asset not found' }, 404) : c.json({ id, views })
      },
    )
    .get(
      '/events/user/:userId',
      describe({
        operationId: 'getUserViews',
        summary: 'The views of a user',
        answers: { 200: ViewCount, 404: UserNotFound },
        problems: [400],
      }),
      validate('param', UserParams),
      (c) => {
        const id = c.req.valid('param').userId
        const views = counts.views('user', id)
        return views === undefined ? c.json({ id, status: 'User not found' }, 404) : c.json({ id, views })
      },
    )
    .get(
      '/events/top',
      describe({
        operationId: 'getTop',
        summary: 'The most viewed assets or users',
        answers: { 200: TopList },
        problems: [400],
      }),
      validate('query', TopQuery),
      (c) => {
        const { by, limit } = c.req.valid('query')
        return c.json({ by, top: counts.top(by, limit) })
      },
    )
    .get(
      '/events/live',
      describe({
        operationId: 'followCounts',
        summary: 'The counts as they change',
        description: LIVE_DESCRIPTION,
        answers: { 200: LiveStream },
        problems: [503],
      }),
      (c) => live.answer(c),
    )
    .get(
      '/events/position',
      describe({
        operationId: 'getPosition',
        summary: 'Up to where the log is counted',
        description: 'null before the first batch',
        answers: { 200: Position.nullable() },
      }),
      (c) => c.json(counts.position() ?? null),
    )
    .post(
      '/events/asset/:assetId/user/:userId',
      describe({
        operationId: 'countView',
        summary: 'Counts one view, beside the log',
        description: 'A replay of the log does not bring it back',
        answers: { 200: PlayCounts },
        problems: [400],
        isWrite: true,
      }),
      guardWrite(writeToken),
      validate('param', Play),
      (c) => c.json(counts.count(c.req.valid('param'))),
    )
    .post(
      '/events/lookup',
      describe({
        operationId: 'lookUpCounts',
        summary: 'The counts of many assets and users',
        description: '0 for those that nobody played',
        answers: { 200: LookedUpCounts },
        problems: BODY_PROBLEMS,
      }),
      jsonBody(BATCH_BODY),
      validate('json', CountLookup),
      (c) => {
        const { assets, users } = c.req.valid('json')
        return c.json({ assets: countsOf('asset', assets), users: countsOf('user', users) })
      },
    )
    .post(
      '/events',
      describe({
        operationId: 'countBatch',
        summary: 'Counts a batch of the log, if it starts at the position',
        description: 'Answers with the new position, or with 409 and the position at which the next batch has to start',
        answers: { 200: Position, 409: PositionConflict },
        problems: BODY_PROBLEMS,
        isWrite: true,
      }),
      guardWrite(writeToken),
      jsonBody(BATCH_BODY),
      validate('json', EventBatch),
      (c) => {
        const applied = counts.apply(c.req.valid('json'))
        const position = counts.position() ?? null
        if (applied) return c.json(position)
        return c.json({ status: 'Position mismatch', position, requestId: c.get('requestId') }, 409)
      },
    )
}
