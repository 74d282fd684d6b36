import { z } from 'zod'
import { LookupBehind } from './counting.ts'
import { AssetId, UserId } from './ids.ts'

const views = z.int().nonnegative()

/** Maximum number of ids of each kind in one lookup. */
const MAX_LOOKUP_IDS = 10_000
/** Maximum length of a top list. */
export const MAX_TOP = 1_000

/** The views of one asset or one user. */
export const ViewCount = z
  .object({ id: z.string(), views })
  .meta({ id: 'ViewCount', examples: [{ id: '8', views: 2 }] })
export type ViewCount = z.infer<typeof ViewCount>

/** The counts in a play's response. */
export const PlayCounts = z
  .object({ userviews: views, assetviews: views })
  .meta({ id: 'PlayCounts', examples: [{ userviews: 1, assetviews: 2 }] })
export type PlayCounts = z.infer<typeof PlayCounts>

/** `POST /events/lookup`: a batched lookup of counts. */
export const CountLookup = z
  .strictObject({
    assets: z.array(AssetId).max(MAX_LOOKUP_IDS).default([]),
    users: z.array(UserId).max(MAX_LOOKUP_IDS).default([]),
  })
  .meta({ id: 'CountLookup', examples: [{ assets: ['123', '456'], users: ['8'] }] })
export type CountLookup = z.infer<typeof CountLookup>

/** The counts of all requested ids; 0 for unknown ids. */
export const LookedUpCounts = z
  .object({ assets: z.record(z.string(), views), users: z.record(z.string(), views) })
  .meta({ id: 'LookedUpCounts', examples: [{ assets: { '123': 0, '456': 2 }, users: { '8': 2 } }] })
export type LookedUpCounts = z.infer<typeof LookedUpCounts>

/** The response to a batched lookup of counts. */
export const LookupResponse = z.union([LookedUpCounts, LookupBehind])
export type LookupResponse = z.infer<typeof LookupResponse>

export const TopQuery = z.object({
  by: z.enum(['asset', 'user']).default('asset'),
  limit: z.coerce.number().int().min(1).max(MAX_TOP).default(10),
})
export type TopQuery = z.infer<typeof TopQuery>

/** Ordered by views, descending, then by id. */
export const TopList = z
  .object({ by: TopQuery.shape.by.unwrap(), top: z.array(ViewCount) })
  .meta({ id: 'TopList', examples: [{ by: 'asset', top: [{ id: '456', views: 2 }] }] })
export type TopList = z.infer<typeof TopList>
