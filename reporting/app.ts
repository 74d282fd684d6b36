import { EventBatch, PositionConflict } from '../shared/contracts/event-batch.ts'
import { AssetParams, UserParams } from '../shared/contracts/ids.ts'
import { LiveStream } from '../shared/contracts/live.ts'
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
      describe({ summary: 'The views of an asset', answers: { 200: ViewCount, 404: AssetNotFound }, problems: [400] }),
      validate('param', AssetParams),
      (c) => {
        const id = c.req.valid('param').assetId
        const views = counts.views('asset', id)
        return views === undefined ? c.json({ id, status: 'Asset not found' }, 404) : c.json({ id, views })
      },
    )
    .get(
      '/events/user/:userId',
      describe({ summary: 'The views of a user', answers: { 200: ViewCount, 404: UserNotFound }, problems: [400] }),
      validate('param', UserParams),
      (c) => {
        const id = c.req.valid('param').userId
        const views = counts.views('user', id)
        return views === undefined ? c.json({ id, status: 'User not found' }, 404) : c.json({ id, views })
      },
    )
    .get(
      '/events/top',
      describe({ summary: 'The most viewed assets or users', answers: { 200: TopList }, problems: [400] }),
      validate('query', TopQuery),
      (c) => {
        const { by, limit } = c.req.valid('query')
        return c.json({ by, top: counts.top(by, limit) })
      },
    )
    .get(
      '/events/live',
      describe({
        summary: 'The counts as they change',
        answers: { 200: LiveStream },
        type: 'text/event-stream',
        problems: [503],
      }),
      (c) => live.answer(c),
    )
    .get(
      '/events/position',
      describe({ summary: 'Up to where the log is counted', answers: { 200: Position.nullable() } }),
      (c) => c.json(counts.position() ?? null),
    )
    .post(
      '/events/asset/:assetId/user/:userId',
      describe({
        summary: 'Counts one view, beside the log',
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
        summary: 'The counts of many assets and users',
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
        summary: 'Counts a batch of the log, if it starts at the position',
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
