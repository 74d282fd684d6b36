import { z } from 'zod'
import { Position } from './position.ts'
import { MAX_VIEWS_PER_BATCH, View } from './view.ts'

/** `POST /events`: the views of the log's messages after `after`, up to and with `through`. */
export const EventBatch = z
  .strictObject({
    stream: Position.shape.stream,
    after: z.int().nonnegative(),
    through: z.int().positive(),
    views: z.array(View).max(MAX_VIEWS_PER_BATCH),
  })
  .refine(({ after, through }) => through > after, { path: ['through'], error: 'must be greater than after' })
export type EventBatch = z.infer<typeof EventBatch>

/** The answer 409 to a batch that does not start at the position of its reader. */
export const PositionConflict = z.object({
  status: z.literal('Position mismatch'),
  position: Position.nullable(),
  requestId: z.string(),
})
export type PositionConflict = z.infer<typeof PositionConflict>
