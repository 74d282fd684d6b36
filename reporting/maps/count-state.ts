import { randomUUID } from 'node:crypto'
import type { LostViews } from '../../shared/contracts/lost-views.ts'
import type { LogPosition } from '../../shared/contracts/position.ts'
import type { CountedBy } from '../count-store.ts'
import type { DeduplicationState } from '../deduplicator.ts'
import { createRecentSeconds, type RecentSeconds } from '../recent-seconds.ts'
import { type CountMap, createCountMap } from './count-map.ts'
import { createKnownIds, type RecentIds } from './known-ids.ts'

/** Everything that changes when views are counted. A checkpoint contains all of it, except `changes`. */
export type CountState = {
  /** Identifies these counts. They keep it as long as they survive restarts. */
  id: string
  /** The log position that the counts reflect; undefined before the first batch. */
  position: LogPosition | undefined
  counts: Record<CountedBy, CountMap>
  deduplication: DeduplicationState & { knownIds: RecentIds }
  lost: LostViews
  /** The number of views counted. */
  views: number
  seconds: RecentSeconds
  /** The number of changes since this process started. */
  changes: number
}

export function createCountState(): CountState {
  return {
    id: randomUUID(),
    position: undefined,
    counts: { asset: createCountMap(), user: createCountMap() },
    deduplication: { isComplete: true, producers: new Map(), knownIds: createKnownIds() },
    lost: { views: 0, gaps: [] },
    views: 0,
    seconds: createRecentSeconds(),
    changes: 0,
  }
}
