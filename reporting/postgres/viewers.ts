import type { Play } from '../../shared/contracts/play.ts'
import type { Verdict } from '../../shared/contracts/view-explanation.ts'
import { hashViewer } from '../viewer-hash.ts'
import { toIdArray, toNumberArray } from './literals.ts'

type CountedView = Play & { verdict?: Verdict }

/**
 * Common table expressions that store each asset's viewers, and count the new viewers in `new_viewers`. Views that are
 * not in the log add no viewers.
 */
export function toViewerWrites(views: readonly CountedView[]): string[] {
  const pairs = toPairs(views)
  if (pairs.length === 0) return [`new_viewers as (select null::text as id, 0::bigint as viewers where false)`]
  const assets = toIdArray(pairs.map(([assetId]) => assetId))
  const hashes = toNumberArray(pairs.map(([, hash]) => hash))
  return [
    `viewer_added as (
      insert into reporting.viewer (asset_id, hash)
      select * from unnest(${assets}, ${hashes}) as viewers(asset_id, hash) where exists (select from moved)
      on conflict do nothing returning asset_id)`,
    `new_viewers as materialized (select asset_id as id, count(*) as viewers from viewer_added group by asset_id)`,
  ]
}

/** The distinct pairs, sorted so that adjacent index entries are added together. */
function toPairs(views: readonly CountedView[]): [assetId: string, hash: number][] {
  const byAsset = new Map<string, Set<number>>()
  for (const { assetId, userId, verdict } of views) {
    if (!verdict) continue
    byAsset.getOrInsertComputed(assetId, () => new Set()).add(hashViewer(userId))
  }
  const sorted = [...byAsset].sort(([a], [b]) => (a < b ? -1 : 1))
  return sorted.flatMap(([assetId, hashes]) =>
    [...hashes].sort((a, b) => a - b).map((hash): [string, number] => [assetId, hash]),
  )
}
