import { z } from 'zod'

/** A write was done. */
export const Done = z.object({ status: z.literal('ok') }).meta({ id: 'Done', examples: [{ status: 'ok' }] })
export type Done = z.infer<typeof Done>

export const AssetNotFound = z
  .object({ id: z.string(), status: z.literal('Asset not found') })
  .meta({ id: 'AssetNotFound', examples: [{ id: '789', status: 'Asset not found' }] })
export const UserNotFound = z
  .object({ id: z.string(), status: z.literal('User not found') })
  .meta({ id: 'UserNotFound', examples: [{ id: '9', status: 'User not found' }] })

/** Every other error: what is wrong, where it was seen in what was sent, and the id under which the log has the rest. */
export const Problem = z
  .object({
    status: z.string(),
    errors: z
      .array(z.object({ path: z.string(), message: z.string() }))
      .optional()
      .meta({ description: 'One entry a field' }),
    requestId: z.string(),
  })
  .meta({ id: 'Problem' })
export type Problem = z.infer<typeof Problem>
