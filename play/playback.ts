import type { Degraded, Playback } from '../shared/contracts/playback.ts'
import type { PlayCounts } from '../shared/contracts/view-counts.ts'
import type { FoundAsset } from './aggregate.ts'
import type { LookedUp } from './count-lookup.ts'
import type { Recorded } from './spooler.ts'

/** A play that can be served. */
export type Played = {
  /** Undefined for a prefetch, which records no view. */
  viewId: string | undefined
  asset: FoundAsset
  /** The counts, which include the view, if there is one; undefined if they are unavailable. */
  counts: PlayCounts | undefined
  /** The place where this play recorded the view; undefined if it recorded none. */
  place: Recorded['place'] | undefined
}

/** Composes the response. */
export function toPlayback({ asset, counts, place }: Omit<Played, 'viewId'>): Playback {
  const { metadata, cdnUrl } = asset
  const degraded: Degraded[] = [...asset.degraded]
  if (!counts) degraded.push('reporting')
  if (place === 'outbox') degraded.push('events')
  return {
    id: metadata.id,
    title: metadata.title,
    genre: metadata.genre,
    summary: metadata.summary,
    url: cdnUrl.url,
    userviews: counts ? counts.userviews : null,
    assetviews: counts ? counts.assetviews : null,
    ...(degraded.length > 0 && { degraded }),
  }
}

/** Adds a view to counts that do not include it. */
export function addView(counts: PlayCounts | undefined): PlayCounts | undefined {
  return counts && { userviews: counts.userviews + 1, assetviews: counts.assetviews + 1 }
}

/**
 * The counts with a view that was recorded while they were looked up. They may already include the view, even if it is
 * in the outbox or if its acknowledgement was lost, so compare serials. Returns undefined if the producer changed during
 * the lookup, as it does after an outage of the log.
 */
export function withRecorded(counts: LookedUp | undefined, { producer, serial }: Recorded): PlayCounts | undefined {
  if (counts?.producer !== producer) return undefined
  return (counts.serial ?? 0) < serial ? addView(counts) : counts
}
