import type { EventBatch } from '../shared/contracts/event-batch.ts'
import type { Play } from '../shared/contracts/play.ts'
import type { Position } from '../shared/contracts/position.ts'
import type { PlayCounts, ViewCount } from '../shared/contracts/view-counts.ts'

export type CountedBy = 'asset' | 'user'

export type ViewCounts = {
  /** The views of one asset or user; undefined where none was ever counted. */
  views(by: CountedBy, id: string): number | undefined
  /** The `limit` ids with the most views, most first; equal counts by id. */
  top(by: CountedBy, limit: number): ViewCount[]
  /** Counts one view that is not in the log. */
  count(play: Play): PlayCounts
  /** Up to where the log is counted; undefined before the first batch. */
  position(): Position | undefined
  /**
   * Counts the views of a batch, and takes on its end as the position, if it starts at the position; else does nothing.
   * @returns whether it did
   */
  apply(batch: EventBatch): boolean
}

/**
 * The counts and the log position that they reflect. Both change in one step, so each view of the log counts once:
 * a batch that was sent twice, or out of turn, does not start at the position.
 */
export function createViewCounts(): ViewCounts {
  const counts = { asset: new Map<string, number>(), user: new Map<string, number>() }
  /** Incarnations of the log that had a successor: a batch of theirs that comes late is not a new log's first. */
  const left = new Set<string>()
  let position: Position | undefined

  function follows({ stream, after }: EventBatch): boolean {
    if (stream === position?.stream) return after === position.sequence
    return after === 0 && !left.has(stream) && !isOlder(stream, position?.stream)
  }

  function add({ assetId, userId }: Play): PlayCounts {
    return { userviews: increment(counts.user, userId), assetviews: increment(counts.asset, assetId) }
  }

  return {
    views: (by, id) => counts[by].get(id),
    top: (by, limit) => greatest(counts[by], limit),
    count: add,
    position: () => position,
    apply(batch) {
      if (!follows(batch)) return false
      for (const view of batch.views) add(view)
      if (position && position.stream !== batch.stream) left.add(position.stream)
      position = { stream: batch.stream, sequence: batch.through }
      return true
    },
  }
}

/** Incarnations are named by their time of creation. Names that are none say nothing of their order. */
function isOlder(stream: string, than: string | undefined): boolean {
  return than !== undefined && Date.parse(stream) < Date.parse(than)
}

function increment(counts: Map<string, number>, id: string): number {
  const views = (counts.get(id) ?? 0) + 1
  counts.set(id, views)
  return views
}

/** One pass that keeps the best so far in order: cheaper than sorting all, as `limit` is small. */
function greatest(counts: Map<string, number>, limit: number): ViewCount[] {
  const best: ViewCount[] = []
  for (const [id, views] of counts) {
    const least = best.at(-1)
    if (best.length === limit && least && !isBefore({ id, views }, least)) continue
    const place = best.findIndex((other) => isBefore({ id, views }, other))
    best.splice(place < 0 ? best.length : place, 0, { id, views })
    if (best.length > limit) best.pop()
  }
  return best
}

function isBefore(one: ViewCount, other: ViewCount): boolean {
  return one.views > other.views || (one.views === other.views && one.id < other.id)
}
