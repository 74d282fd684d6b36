import { z } from 'zod'
import { LookupBehind } from './counting.ts'
import { AssetId, UserId } from './ids.ts'
import { View } from './view.ts'

const views = z.int().nonnegative()

/** Maximum number of ids of each kind in one lookup. */
const MAX_LOOKUP_IDS = 10_000
/** Maximum length of a producer's id in a lookup. */
const MAX_PRODUCER = 256
/** Maximum length of a top list. */
export const MAX_TOP = 1_000

/** The views of one asset or one user. */
export const ViewCount = z
  .object({ id: z.string(), views })
  .meta({ id: 'ViewCount', examples: [{ id: '8', views: 2 }] })
export type ViewCount = z.infer<typeof ViewCount>

/**
 * The counts for one asset or one user. `qualified`: the views that pass the view rules. `viewers`: an asset's distinct
 * users; users have no viewers.
 */
export const Counts = z.object({ views, qualified: views, viewers: views.optional() })
export type Counts = z.infer<typeof Counts>

/** An asset's counts. */
export const AssetCounts = z
  .object({ id: z.string(), views, qualified: views, viewers: views })
  .meta({ id: 'AssetCounts', examples: [{ id: '456', views: 3, qualified: 2, viewers: 1 }] })
export type AssetCounts = z.infer<typeof AssetCounts>

/** A user's counts. */
export const UserCounts = z
  .object({ id: z.string(), views, qualified: views })
  .meta({ id: 'UserCounts', examples: [{ id: '8', views: 3, qualified: 2 }] })
export type UserCounts = z.infer<typeof UserCounts>

/** An asset or user in a top list. */
export const TopEntry = z.object({ id: z.string(), ...Counts.shape }).meta({ id: 'TopEntry' })
export type TopEntry = z.infer<typeof TopEntry>

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
    events: z
      .array(View.shape.id)
      .max(MAX_LOOKUP_IDS)
      .optional()
      .meta({ description: 'Ids of views with an idempotency key' }),
    details: z.literal(true).optional().meta({ description: 'true: also return `qualified` and `viewers`' }),
  })
  .meta({ id: 'CountLookup', examples: [{ assets: ['123', '456'], users: ['8'] }] })
export type CountLookup = z.infer<typeof CountLookup>

/** The counts for all requested ids; 0 for unknown ids. */
const byId = z.record(z.string(), views)

/** A play that was requested with an idempotency key. */
export const KeyedPlay = z.object({ assetId: AssetId, userId: UserId, at: View.shape.at })
export type KeyedPlay = z.infer<typeof KeyedPlay>

export const LookedUpCounts = z
  .object({
    assets: byId,
    users: byId,
    qualified: z.object({ assets: byId, users: byId }).optional(),
    viewers: byId.optional().meta({ description: 'Number of distinct users by asset' }),
    events: z
      .record(z.string(), KeyedPlay)
      .optional()
      .meta({ description: 'The requested events that have been counted, by id' }),
  })
  .meta({ id: 'LookedUpCounts', examples: [{ assets: { '123': 0, '456': 2 }, users: { '8': 2 } }] })
export type LookedUpCounts = z.infer<typeof LookedUpCounts>

/** The response to a batched lookup of counts. */
export const LookupResponse = z.union([LookedUpCounts, LookupBehind])
export type LookupResponse = z.infer<typeof LookupResponse>

export const LookupQuery = z.object({
  as: z
    .literal('lists')
    .optional()
    .meta({
      description:
        '`lists`: return only views, as lists in the order of the ids, which is cheaper for client and server',
      examples: ['lists'],
    }),
  producer: z
    .string()
    .min(1)
    .max(MAX_PRODUCER)
    .optional()
    .meta({
      description: 'With `as=lists`: also return the last serial of this producer that the counts include',
      examples: ['QA8ZMOHXREKPW2A1C2J0V0'],
    }),
})

/** The views for all requested ids, in request order; 0 for unknown ids. */
export const ListedViews = z
  .object({
    assets: z.array(views),
    users: z.array(views),
    events: LookedUpCounts.shape.events,
    serial: views.optional().meta({
      description: 'The last serial of the producer that the counts include; absent if the producer is unknown',
    }),
  })
  .meta({ id: 'ListedViews', examples: [{ assets: [0, 2], users: [2] }] })
export type ListedViews = z.infer<typeof ListedViews>

/** The response to a lookup with `as=lists`. reporting's previous release returns LookedUpCounts instead. */
export const ListedResponse = z.union([ListedViews, LookedUpCounts, LookupBehind])

/** The count by which a top list is ordered. */
export const RankedBy = z.enum(['views', 'qualified'])
export type RankedBy = z.infer<typeof RankedBy>

export const TopQuery = z.object({
  by: z.enum(['asset', 'user']).default('asset'),
  of: RankedBy.default('views'),
  limit: z.coerce.number().int().min(1).max(MAX_TOP).default(10),
})
export type TopQuery = z.infer<typeof TopQuery>

/** The entries are in descending order of the count that `of` names, and then ordered by id. */
export const TopList = z.object({ by: TopQuery.shape.by.unwrap(), of: RankedBy, top: z.array(TopEntry) }).meta({
  id: 'TopList',
  examples: [{ by: 'asset', of: 'views', top: [{ id: '456', views: 3, qualified: 2, viewers: 1 }] }],
})
export type TopList = z.infer<typeof TopList>
