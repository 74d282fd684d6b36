import { Hono } from 'hono'
import { z } from 'zod'
import { EventBatch, isReport, PositionConflict } from '../shared/contracts/event-batch.ts'
import { Play } from '../shared/contracts/play.ts'
import { Position, toLogPosition, toNullablePosition, toPosition } from '../shared/contracts/position.ts'
import { PlayCounts } from '../shared/contracts/view-counts.ts'
import type { AppEnv } from '../shared/http/app-env.ts'
import { BODY_PROBLEMS, describeOperation } from '../shared/http/openapi.ts'
import { BATCH_BODY, jsonBody, validate } from '../shared/http/validate.ts'
import { requireWriteToken, type WriteToken } from '../shared/http/write-token.ts'
import type { CountStore } from './count-store.ts'

const CompiledBatch = z.compile(EventBatch, { strict: true })

type Deps = {
  counts: Pick<CountStore, 'count' | 'report' | 'apply' | 'position'>
  /** The token required for writes. If undefined, writes need no token. */
  writeToken?: WriteToken | undefined
}

/** The routes that count views: from the log, and directly. */
export function createWriteRoutes({ counts, writeToken }: Deps) {
  return new Hono<AppEnv>()
    .post(
      '/events/asset/:assetId/user/:userId',
      describeOperation({
        operationId: 'countView',
        summary: 'Count one view without recording it in the log',
        description:
          'The view is lost if reporting is killed before the next checkpoint, or if the counts are rebuilt from the log',
        responses: { 200: PlayCounts },
        problems: [400, 503, 507],
        isWrite: true,
      }),
      requireWriteToken(writeToken),
      validate('param', Play),
      async (c) => c.json(await counts.count(c.req.valid('param'))),
    )
    .post(
      '/events',
      describeOperation({
        operationId: 'countBatch',
        summary: 'Count a batch from the log that starts at the current position',
        description:
          'Returns the new position, or 409 with the current position if the batch starts elsewhere. A report is a batch without views; it always returns the position, which is null before the first batch. Maximum body size: 20,971,520 bytes',
        responses: { 200: Position.nullable(), 409: PositionConflict },
        problems: [...BODY_PROBLEMS, 507],
        isWrite: true,
      }),
      requireWriteToken(writeToken),
      jsonBody(BATCH_BODY),
      validate('json', EventBatch, CompiledBatch),
      async (c) => {
        const batch = c.req.valid('json')
        const { stream: incarnation, leaving, ...rest } = batch
        if (isReport(batch)) return c.json(toNullablePosition(await counts.report({ incarnation, ...rest })))
        const applied = await counts.apply({ incarnation, leaving: leaving && toLogPosition(leaving), ...rest })
        if (applied) return c.json(toPosition({ incarnation, sequence: batch.through }))
        const position = toNullablePosition(await counts.position())
        return c.json({ status: 'Position mismatch', position, requestId: c.get('requestId') }, 409)
      },
    )
}
