import { z } from 'zod'
import { CdnUrlFields } from './cdn-url.ts'
import { AssetId } from './ids.ts'
import { MetadataFields } from './metadata.ts'
import { PlayCounts } from './view-counts.ts'

/** The dependencies that a play can be served without. `events` is the log: without it, the view goes to the outbox. */
export const Degraded = z.enum(['metadata', 'cdnurl', 'reporting', 'events'])
export type Degraded = z.infer<typeof Degraded>

/** The response to a play. Counts are null while they are unavailable; `degraded` is absent if nothing is degraded. */
export const Playback = z
  .object({
    id: AssetId,
    ...MetadataFields.omit({ rights: true }).shape,
    ...CdnUrlFields.shape,
    userviews: PlayCounts.shape.userviews.nullable(),
    assetviews: PlayCounts.shape.assetviews.nullable(),
    degraded: z.array(Degraded).optional(),
  })
  .meta({
    id: 'Playback',
    examples: [
      {
        id: '456',
        title: 'Terminator',
        genre: 'action',
        summary: 'Summary for terminator',
        url: 'path/to/asset456.mp4',
        userviews: 1,
        assetviews: 1,
      },
    ],
  })
export type Playback = z.infer<typeof Playback>
