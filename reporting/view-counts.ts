import type { SerialRange } from '../shared/contracts/event-batch.ts'
import type { LostViews } from '../shared/contracts/lost-views.ts'
import type { Play } from '../shared/contracts/play.ts'
import type { LogPosition } from '../shared/contracts/position.ts'
import type { PlayCounts, ViewCount } from '../shared/contracts/view-counts.ts'
import { createDeduplicator, type Deduplicated, type NumberedBatch } from './deduplicator.ts'

export type CountedBy = 'asset' | 'user'

/** The views in the log between the sequences `after` (exclusive) and `through` (inclusive). */
export type CountBatch = NumberedBatch & {
  incarnation: string
  /** The current position, if the batch starts a new incarnation of the log. */
  leaving?: LogPosition | undefined
}

export type ViewCounts = {
  /** The views of an asset or user; undefined if it has none. */
  views(by: CountedBy, id: string): number | undefined
  /** The `limit` ids with the most views, in descending order, then by id. */
  top(by: CountedBy, limit: number): ViewCount[]
  /** Counts a view that is not in the log. */
  count(play: Play): PlayCounts
  /** The log position that the counts reflect; undefined before the first batch. */
  position(): LogPosition | undefined
  /**
   * Counts a batch without its duplicates and advances the position, if the batch starts at the position. Otherwise it
   * changes nothing.
   * @returns what was counted; undefined if the batch starts elsewhere
   */
  apply(batch: CountBatch): Deduplicated | undefined
  /** The views that the log acknowledged and lost. */
  lost(): LostViews
}

/** Maximum number of gaps in lost(). */
const MAX_GAPS = 100

/**
 * The counts, and the log position that they reflect. Both are updated atomically, so that each view in the log is
 * counted exactly once: a duplicate or out-of-order batch does not start at the position, and is rejected.
 */
export function createViewCounts(): ViewCounts {
  const counts = { asset: new Map<string, number>(), user: new Map<string, number>() }
  const deduplicate = createDeduplicator()
  const lost: LostViews = { views: 0, gaps: [] }
  let position: LogPosition | undefined

  /** A new incarnation replaces exactly the position that the batch names: a late batch of an older one does not. */
  function startsAtPosition({ incarnation, after, leaving }: CountBatch): boolean {
    if (incarnation === position?.incarnation) return after === position.sequence
    return after === 0 && isSamePosition(leaving, position)
  }

  function add({ assetId, userId }: Play): PlayCounts {
    return { userviews: increment(counts.user, userId), assetviews: increment(counts.asset, assetId) }
  }

  function addGap(gap: SerialRange): void {
    lost.views += gap.to - gap.from + 1
    lost.gaps.push(gap)
    if (lost.gaps.length > MAX_GAPS) lost.gaps.shift()
  }

  return {
    views: (by, id) => counts[by].get(id),
    top: (by, limit) => selectTop(counts[by], limit),
    count: add,
    position: () => position,
    apply(batch) {
      if (!startsAtPosition(batch)) return undefined
      const deduplicated = deduplicate(batch)
      for (const view of deduplicated.views) add(view)
      for (const gap of deduplicated.gaps) addGap(gap)
      position = { incarnation: batch.incarnation, sequence: batch.through }
      return deduplicated
    },
    lost: () => lost,
  }
}

function isSamePosition(a: LogPosition | undefined, b: LogPosition | undefined): boolean {
  return a?.incarnation === b?.incarnation && a?.sequence === b?.sequence
}

function increment(counts: Map<string, number>, id: string): number {
  const views = (counts.get(id) ?? 0) + 1
  counts.set(id, views)
  return views
}

/** A single pass that keeps a sorted top list, because `limit` is small compared with the number of ids. */
function selectTop(counts: Map<string, number>, limit: number): ViewCount[] {
  const top: ViewCount[] = []
  for (const [id, views] of counts) {
    const last = top.at(-1)
    if (top.length === limit && last && !ranksBefore({ id, views }, last)) continue
    const index = top.findIndex((other) => ranksBefore({ id, views }, other))
    top.splice(index < 0 ? top.length : index, 0, { id, views })
    if (top.length > limit) top.pop()
  }
  return top
}

function ranksBefore(a: ViewCount, b: ViewCount): boolean {
  return a.views > b.views || (a.views === b.views && a.id < b.id)
}
