import type { Play } from '../shared/contracts/play.ts'
import type { LogPosition } from '../shared/contracts/position.ts'
import type { View } from '../shared/contracts/view.ts'
import type { PlayCounts, ViewCount } from '../shared/contracts/view-counts.ts'
import { assertRoom, type Capacity, unlimited } from './capacity.ts'
import { createCountMap } from './count-map.ts'

export type CountedBy = 'asset' | 'user'

/** The views in the log between the sequences `after` (exclusive) and `through` (inclusive). */
export type CountBatch = { incarnation: string; after: number; through: number; views: View[] }

export type ViewCounts = {
  /** The views of an asset or user; undefined if it has none. */
  views(by: CountedBy, id: string): number | undefined
  /** The number of assets or users with views. */
  size(by: CountedBy): number
  /** The `limit` ids with the most views, in descending order, then by id. `limit` is at most MAX_TOP. */
  top(by: CountedBy, limit: number): ViewCount[]
  /**
   * Counts a view that is not in the log.
   * @throws CountsFullError
   */
  count(play: Play): PlayCounts
  /** The log position that the counts reflect; undefined before the first batch. */
  position(): LogPosition | undefined
  /**
   * Counts a batch and advances the position, if the batch starts at the position. Otherwise it changes nothing.
   * @returns whether the batch was counted
   * @throws CountsFullError if its new ids exceed the capacity; nothing is changed
   */
  apply(batch: CountBatch): boolean
}

/**
 * The counts, and the log position that they reflect. Both are updated atomically, so that each view in the log is
 * counted exactly once: a duplicate or out-of-order batch does not start at the position, and is rejected.
 */
export function createViewCounts(capacity: Capacity = unlimited): ViewCounts {
  const counts = { asset: createCountMap(), user: createCountMap() }
  /** Earlier incarnations of the log: a late batch from one of them must not be taken for the start of a new log. */
  const superseded = new Set<string>()
  let position: LogPosition | undefined

  function startsAtPosition({ incarnation, after }: CountBatch): boolean {
    if (incarnation === position?.incarnation) return after === position.sequence
    return after === 0 && !superseded.has(incarnation) && !isOlder(incarnation, position?.incarnation)
  }

  function add({ assetId, userId }: Play): PlayCounts {
    return { userviews: counts.user.increment(userId), assetviews: counts.asset.increment(assetId) }
  }

  return {
    views: (by, id) => counts[by].get(id),
    size: (by) => counts[by].size(),
    top: (by, limit) => counts[by].top(limit),
    count(play) {
      assertRoom(capacity, counts, [play])
      return add(play)
    },
    position: () => position,
    apply(batch) {
      if (!startsAtPosition(batch)) return false
      assertRoom(capacity, counts, batch.views)
      for (const view of batch.views) add(view)
      if (position && position.incarnation !== batch.incarnation) superseded.add(position.incarnation)
      position = { incarnation: batch.incarnation, sequence: batch.through }
      return true
    },
  }
}

/** Incarnations are named by their creation time. Other names have no order. */
function isOlder(incarnation: string, than: string | undefined): boolean {
  return than !== undefined && Date.parse(incarnation) < Date.parse(than)
}
