import { z } from 'zod'
import { AssetId, UserId } from './ids.ts'

/** Maximum number of views in one message in the log, and in one `POST /events`. */
export const MAX_VIEWS_PER_BATCH = 10_000

/** A recorded play. */
export const View = z
  .strictObject({
    id: z
      .string()
      .min(1)
      .max(256)
      .meta({ description: 'Unique id of this view', examples: ['Q1WAZ5Y7C8N3S9B2K4X6E0'] }),
    assetId: AssetId,
    userId: UserId,
    at: z.iso
      .datetime({ offset: true })
      .meta({ description: 'When it was played (RFC 3339)', examples: ['2026-11-20T21:00:00.000Z'] }),
  })
  .meta({ id: 'View' })
export type View = z.infer<typeof View>
