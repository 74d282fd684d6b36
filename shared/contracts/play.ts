import { z } from 'zod'
import { AssetId, UserId } from './ids.ts'

/** The asset and the user of a play. */
export const Play = z.object({ assetId: AssetId, userId: UserId })
export type Play = z.infer<typeof Play>
