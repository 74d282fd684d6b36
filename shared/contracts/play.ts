import { z } from 'zod'
import { AssetId, UserId } from './ids.ts'

/** A play's asset and user. */
export const Play = z.object({ assetId: AssetId, userId: UserId })
export type Play = z.infer<typeof Play>
