import { z } from 'zod'
import { SerialRange } from './event-batch.ts'

/**
 * `GET /events/lost`: the views that the log acknowledged but then lost, in the part of the log that reporting has
 * counted.
 */
export const LostViews = z
  .object({
    views: z.int().nonnegative(),
    gaps: z.array(SerialRange).meta({ description: 'The last 100 gaps in the serials of producers, oldest first' }),
  })
  .meta({
    id: 'LostViews',
    examples: [{ views: 2, gaps: [{ producer: 'Q1WAZ5Y7C8N3S9B2K4X6E0', from: 43, to: 44 }] }],
  })
export type LostViews = z.infer<typeof LostViews>
