import { z } from 'zod'
import { AssetId, UserId } from './ids.ts'

/** A user plays an asset. */
export const Play = z.object({ assetId: AssetId, userId: UserId })
export type Play = z.infer<typeof Play>
