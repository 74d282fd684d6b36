import { z } from 'zod'

/**
 * `unknown`: the service has no recent report of the end of the log. `replaying`: the counts have not yet caught up
 * with the log since startup. `behind`: the counts were current, but no longer are.
 */
export const CountingState = z.enum(['current', 'replaying', 'behind', 'unknown'])
export type CountingState = z.infer<typeof CountingState>

const progress = z
  .number()
  .min(0)
  .max(1)
  .meta({ description: 'The share of the log that has been counted, from 0 to 1', examples: [0.4] })

/** How far the counts have caught up with the log. Counts are served only while they are current. */
export const Counting = z
  .object({
    state: CountingState,
    progress,
    store: z
      .string()
      .optional()
      .meta({ description: 'Identifies the count store: instances that share a store report the same id' }),
    rules: z.string().optional().meta({ description: 'The version of the view rules' }),
  })
  .meta({ id: 'Counting', examples: [{ state: 'replaying', progress: 0.4 }] })
export type Counting = z.infer<typeof Counting>

const status = z.literal('Counts are behind')

/** The 503 response to a read while the counts are not current. */
export const CountsBehind = z.object({ status, progress, requestId: z.string() }).meta({
  id: 'CountsBehind',
  examples: [{ status: 'Counts are behind', progress: 0.4, requestId: '0f4d2c8e-5a39-4b1e-9c57-1d3f6a7b8c90' }],
})
export type CountsBehind = z.infer<typeof CountsBehind>

/** The response to a lookup while the counts are not current. It omits the counts, because they would be too low. */
export const LookupBehind = z
  .object({ status, progress })
  .meta({ id: 'LookupBehind', examples: [{ status: 'Counts are behind', progress: 0.4 }] })
export type LookupBehind = z.infer<typeof LookupBehind>
