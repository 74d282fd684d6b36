import { z } from 'zod'
import { Metadata } from './metadata.ts'
import { pageOf } from './page.ts'
import { Degraded } from './playback.ts'
import { ViewCount } from './view-counts.ts'

/** An asset in the console. `views` is null while counts are unavailable. */
export const CatalogueEntry = z.object({ ...Metadata.shape, views: ViewCount.shape.views.nullable() })
export type CatalogueEntry = z.infer<typeof CatalogueEntry>

/** `GET /catalogue` at the edge: a page of assets with their views. */
export const CataloguePage = pageOf(CatalogueEntry)
  .extend({ degraded: z.array(Degraded).optional() })
  .meta({
    examples: [
      {
        assets: [{ id: '456', title: 'Terminator', genre: 'action', summary: 'Summary for terminator', views: 2 }],
        next: null,
      },
    ],
  })
export type CataloguePage = z.infer<typeof CataloguePage>
