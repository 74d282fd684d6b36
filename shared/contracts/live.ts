import { z } from 'zod'
import { ViewCount } from './view-counts.ts'

/** How far back the views of each second go. */
export const LIVE_SECONDS = 300
/** The most ids in one `changes` event. Where more changed, a `snapshot` is sent. */
export const MAX_LIVE_IDS = 1_000
/** The length of the top lists. */
export const LIVE_TOP = 10

const views = z.int().nonnegative()
const countById = z.record(z.string(), views)
const seconds = z
  .record(z.string().regex(/^\d+$/), views)
  .meta({ description: 'Views by the second since 1970 in which they were played; those that have any' })

const snapshotExample = {
  views: 3,
  top: {
    assets: [
      { id: '456', views: 2 },
      { id: '123', views: 1 },
    ],
    users: [{ id: '8', views: 3 }],
  },
  seconds: { '1795244400': 1, '1795244402': 2 },
}
const changesExample = { views: 4, assets: { '123': 2 }, users: { '9': 1 }, seconds: { '1795244402': 3 } }

/** `event: snapshot`: all views counted, the top of assets and users, and the views of the last 300 seconds. */
export const LiveSnapshot = z
  .object({
    views,
    top: z.object({ assets: z.array(ViewCount).max(LIVE_TOP), users: z.array(ViewCount).max(LIVE_TOP) }),
    seconds,
  })
  .meta({ examples: [snapshotExample] })
export type LiveSnapshot = z.infer<typeof LiveSnapshot>

/**
 * `event: changes`: the counts, as they are now, of what changed since the event before. Counts never fall between two
 * snapshots, so what is in the top was in the top before, or is in here.
 */
export const LiveChanges = z
  .object({ views, assets: countById, users: countById, seconds })
  .meta({ examples: [changesExample] })
export type LiveChanges = z.infer<typeof LiveChanges>

export type LiveEvent = { event: 'snapshot'; data: LiveSnapshot } | { event: 'changes'; data: LiveChanges }

/** The stream itself, for the OpenAPI document. */
export const LIVE_DESCRIPTION =
  'Server-sent events: a `snapshot`, then `changes`, at most 4 a second. ' +
  '`Last-Event-ID` resumes within 15 s; a line that is a colon is sent where there is nothing to tell'
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
