import { z } from 'zod'
import { AssetId } from './ids.ts'

/** The query for a paginated list: the first `limit` entries after the id `after`. */
export const PageQuery = z.object({
  limit: z.coerce.number().int().min(1).max(1_000).default(100),
  after: AssetId.optional(),
})
export type PageQuery = z.infer<typeof PageQuery>

/** A page of assets, ordered by id. `next` is the `after` for the next page, or null on the last page. */
export function pageOf<Entry extends z.ZodType>(entry: Entry) {
  const { examples: assets = [] } = entry.meta() ?? {}
  return z.object({ assets: z.array(entry), next: AssetId.nullable() }).meta({ examples: [{ assets, next: null }] })
}
