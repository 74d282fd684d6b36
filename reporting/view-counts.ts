import type { Play } from '../shared/contracts/play.ts'
import type { LogPosition } from '../shared/contracts/position.ts'
import type { View } from '../shared/contracts/view.ts'
import type { PlayCounts, ViewCount } from '../shared/contracts/view-counts.ts'

export type CountedBy = 'asset' | 'user'

/** The views in the log between the sequences `after` (exclusive) and `through` (inclusive). */
export type CountBatch = { incarnation: string; after: number; through: number; views: View[] }

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
   * Counts a batch and advances the position, if the batch starts at the position. Otherwise it changes nothing.
   * @returns whether the batch was counted
   */
  apply(batch: CountBatch): boolean
}

/**
 * The counts, and the log position that they reflect. Both are updated atomically, so that each view in the log is
 * counted exactly once: a duplicate or out-of-order batch does not start at the position, and is rejected.
 */
export function createViewCounts(): ViewCounts {
  const counts = { asset: new Map<string, number>(), user: new Map<string, number>() }
  /** Earlier incarnations of the log: a late batch from one of them must not be taken for the start of a new log. */
  const superseded = new Set<string>()
  let position: LogPosition | undefined

  function startsAtPosition({ incarnation, after }: CountBatch): boolean {
    if (incarnation === position?.incarnation) return after === position.sequence
    return after === 0 && !superseded.has(incarnation) && !isOlder(incarnation, position?.incarnation)
  }

  function add({ assetId, userId }: Play): PlayCounts {
    return { userviews: increment(counts.user, userId), assetviews: increment(counts.asset, assetId) }
  }

  return {
    views: (by, id) => counts[by].get(id),
    top: (by, limit) => selectTop(counts[by], limit),
    count: add,
    position: () => position,
    apply(batch) {
      if (!startsAtPosition(batch)) return false
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
