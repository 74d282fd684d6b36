import { z } from 'zod'
import { AssetId, UserId } from './ids.ts'

const DAY_S = 86_400

/** An asset's duration, in seconds. */
export const Duration = z
  .number()
  .positive()
  .max(7 * DAY_S)
  .meta({ description: 'Duration of the asset in seconds, at most 7 days', examples: [5_400] })

/** How long a view has been watched so far, in seconds. */
export const WatchedSeconds = z
  .number()
  .min(0)
  .max(DAY_S)
  .meta({ description: 'How many seconds of the view have been watched so far, at most 24 hours', examples: [31.5] })

/** `POST /play/watched/:viewId`. Of all reports for a view, only the one with the greatest `seconds` counts. */
export const WatchReport = z
  .strictObject({ assetId: AssetId, userId: UserId, seconds: WatchedSeconds })
  .meta({ id: 'WatchReport', examples: [{ assetId: '456', userId: '8', seconds: 31.5 }] })
export type WatchReport = z.infer<typeof WatchReport>

/** The response to a report that is now in the log or the outbox, and will be counted. */
export const WatchRecorded = z
  .object({ status: z.literal('recorded') })
  .meta({ id: 'WatchRecorded', examples: [{ status: 'recorded' }] })
export type WatchRecorded = z.infer<typeof WatchRecorded>
