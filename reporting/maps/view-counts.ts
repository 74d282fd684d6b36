import type { LostViews } from '../../shared/contracts/lost-views.ts'
import type { Play } from '../../shared/contracts/play.ts'
import type { LogPosition } from '../../shared/contracts/position.ts'
import type { PlayCounts, ViewCount } from '../../shared/contracts/view-counts.ts'
import type { CountBatch, CountedBy } from '../count-store.ts'
import { createDeduplicator, type Deduplicated } from '../deduplicator.ts'
import { addGaps } from '../lost.ts'
import { startsAt } from '../starts-at.ts'
import { assertRoom, type Capacity, unlimited } from './capacity.ts'
import { createCountState } from './count-state.ts'

/** The synchronous part of a CountStore; see there. */
export type ViewCounts = {
  views(by: CountedBy, id: string): number | undefined
  size(by: CountedBy): number
  top(by: CountedBy, limit: number): ViewCount[]
  /** @throws CountsFullError */
  count(play: Play): PlayCounts
  position(): LogPosition | undefined
  /** @throws CountsFullError if its new ids exceed the capacity; nothing is changed */
  apply(batch: CountBatch): Deduplicated | undefined
  lost(): LostViews
}

/** The counts in memory, without input or output. */
export function createViewCounts(capacity: Capacity = unlimited, state = createCountState()): ViewCounts {
  const { counts } = state
  const deduplicate = createDeduplicator(state.deduplication)

  function add({ assetId, userId }: Play): PlayCounts {
    return { userviews: counts.user.increment(userId), assetviews: counts.asset.increment(assetId) }
  }

  return {
    views: (by, id) => counts[by].get(id),
    size: (by) => counts[by].size(),
    top: (by, limit) => counts[by].top(limit),
    count(play) {
      assertRoom(capacity, counts, [play])
      state.changes += 1
      return add(play)
    },
    position: () => state.position,
    apply(batch) {
      if (!startsAt(state.position, batch)) return undefined
      assertRoom(capacity, counts, batch.views)
      const deduplicated = deduplicate(batch)
      for (const view of deduplicated.views) add(view)
      state.lost = addGaps(state.lost, deduplicated.gaps)
      state.position = { incarnation: batch.incarnation, sequence: batch.through }
      state.changes += 1
      return deduplicated
    },
    lost: () => state.lost,
  }
}
