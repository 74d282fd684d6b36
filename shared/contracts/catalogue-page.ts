import { z } from 'zod'
import { Metadata } from './metadata.ts'
import { pageOf } from './page.ts'
import { Degraded } from './playback.ts'
import { Counts } from './view-counts.ts'

const count = Counts.shape.views.nullable()

/** An asset in the console. The counts are null while they are unavailable. */
export const CatalogueEntry = z.object({ ...Metadata.shape, views: count, qualified: count, viewers: count })
export type CatalogueEntry = z.infer<typeof CatalogueEntry>

/** `GET /catalogue` at the edge: a page of assets with their counts. */
export const CataloguePage = pageOf(CatalogueEntry)
  .extend({ degraded: z.array(Degraded).optional() })
  .meta({
    examples: [
      {
        assets: [
          {
            id: '456',
            title: 'Terminator',
            genre: 'action',
            summary: 'Summary for terminator',
            views: 3,
            qualified: 2,
            viewers: 1,
          },
        ],
        next: null,
      },
    ],
  })
export type CataloguePage = z.infer<typeof CataloguePage>
