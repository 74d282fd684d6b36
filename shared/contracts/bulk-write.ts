import { z } from 'zod'
import { Problem } from './status.ts'

const stored = z.number().int().min(0)

/** All assets of the body are stored. */
export const BulkWriteDone = z
  .object({ status: z.literal('ok'), stored: stored.meta({ description: 'Assets, each id counted once' }) })
  .meta({ id: 'BulkWriteDone', examples: [{ status: 'ok', stored: 2 }] })
export type BulkWriteDone = z.infer<typeof BulkWriteDone>

/** Storing stopped midway. Other assets may be stored too. */
export const BulkWriteFailed = Problem.extend({
  stored: stored.meta({ description: 'Assets that are stored for certain' }),
}).meta({
  id: 'BulkWriteFailed',
  examples: [{ status: 'Service unavailable', stored: 1, requestId: '0f4d2c8e-5a39-4b1e-9c57-1d3f6a7b8c90' }],
})
export type BulkWriteFailed = z.infer<typeof BulkWriteFailed>
