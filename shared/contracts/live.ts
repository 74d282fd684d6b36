import { z } from 'zod'
import { Counts, ViewCount } from './view-counts.ts'

/** The length of the views-per-second window, in seconds. */
export const LIVE_SECONDS = 300
/** Maximum number of ids in a `changes` event. If more ids have changed, a `snapshot` event is sent instead. */
export const MAX_LIVE_IDS = 1_000
/** Maximum number of entries in a top list. */
export const LIVE_TOP = 10

const views = z.int().nonnegative()
const countById = z.record(z.string(), views)
const seconds = z
  .record(z.string().regex(/^\d+$/), views)
  .meta({ description: 'Views by Unix time in seconds; seconds without views are absent' })

/** An asset or user with its counts. Earlier releases send only the views. */
const LiveEntry = ViewCount.extend(Counts.omit({ views: true }).partial().shape)
export type LiveEntry = z.infer<typeof LiveEntry>

const snapshotExample = {
  views: 3,
  qualified: 2,
  top: {
    assets: [
      { id: '456', views: 2, qualified: 1, viewers: 1 },
      { id: '123', views: 1, qualified: 1, viewers: 1 },
    ],
    users: [{ id: '8', views: 3, qualified: 2 }],
  },
  seconds: { '1795244400': 1, '1795244402': 2 },
}
const changesExample = {
  views: 4,
  assets: { '123': 2 },
  users: { '9': 1 },
  seconds: { '1795244402': 3 },
  qualified: { total: 3, assets: { '123': 2 }, users: { '9': 1 } },
  viewers: { '123': 2 },
}

/** `event: snapshot`: the totals, the top assets and users, and the views in the last 300 seconds. */
export const LiveSnapshot = z
  .object({
    views,
    qualified: views.optional(),
    top: z.object({ assets: z.array(LiveEntry).max(LIVE_TOP), users: z.array(LiveEntry).max(LIVE_TOP) }),
    seconds,
  })
  .meta({ examples: [snapshotExample] })
export type LiveSnapshot = z.infer<typeof LiveSnapshot>

/**
 * `event: changes`: the counts that changed since the previous event; none in a heartbeat. Between snapshots, counts
 * only rise, so every id in the new top list was in the previous list or is in this event.
 */
export const LiveChanges = z
  .object({
    views,
    assets: countById,
    users: countById,
    seconds,
    qualified: z.object({ total: views, assets: countById, users: countById }).optional(),
    viewers: countById.optional().meta({ description: 'Number of distinct users by asset' }),
  })
  .meta({ examples: [changesExample] })
export type LiveChanges = z.infer<typeof LiveChanges>

export type LiveEvent = { event: 'snapshot'; data: LiveSnapshot } | { event: 'changes'; data: LiveChanges }

/** The stream's description in the OpenAPI document. */
export const LIVE_DESCRIPTION =
  'Server-sent events: a `snapshot`, then `changes`, at most 4 per second. ' +
  '`Last-Event-ID` resumes the stream within 15 s. Comment lines are heartbeats. ' +
  'While counts are current, an event is sent at least every second, even without changes. ' +
  'While counts are behind the log, no event is sent'
export const LiveStream = {
  type: 'text/event-stream',
  example: [
    'retry: 1000',
    '',
    'id: 5f0c2a91-1',
    'event: snapshot',
    `data: ${JSON.stringify(snapshotExample)}`,
    '',
    'id: 5f0c2a91-2',
    'event: changes',
    `data: ${JSON.stringify(changesExample)}`,
    '',
    '',
  ].join('\n'),
}
