import { z } from 'zod'
import { Problem } from './status.ts'

const stored = z.number().int().min(0)

/** The response to a bulk write that stored all assets in the body. */
export const BulkWriteDone = z
  .object({ status: z.literal('ok'), stored: stored.meta({ description: 'Number of distinct assets' }) })
  .meta({ id: 'BulkWriteDone', examples: [{ status: 'ok', stored: 2 }] })
export type BulkWriteDone = z.infer<typeof BulkWriteDone>

/** The response to a bulk write that failed midway. `stored` is a lower bound. */
export const BulkWriteFailed = Problem.extend({
  stored: stored.meta({ description: 'Number of assets known to be stored' }),
}).meta({
  id: 'BulkWriteFailed',
  examples: [{ status: 'Service unavailable', stored: 1, requestId: '0f4d2c8e-5a39-4b1e-9c57-1d3f6a7b8c90' }],
})
export type BulkWriteFailed = z.infer<typeof BulkWriteFailed>
