import type { Degraded, Playback } from '../shared/contracts/playback.ts'
import type { Aggregate } from './aggregate.ts'
import type { Recorded } from './spooler.ts'

/** A play that can be served. */
export type Played = {
  /** Undefined for a prefetch, which records no view. */
  viewId: string | undefined
  found: Aggregate
  /** The place where this play recorded the view; undefined if it recorded none. */
  place: Recorded | undefined
  /** True if the counts in `found` include the view, or if there is no view. */
  isCounted: boolean
}

/** Composes the response. Its counts include this play, even if the looked-up counts do not. */
export function toPlayback({ found, place, isCounted }: Omit<Played, 'viewId'>): Playback {
  const { metadata, cdnUrl, counts, degraded: missing } = found
  const degraded: Degraded[] = place === 'outbox' ? [...missing, 'events'] : missing
  const added = isCounted ? 0 : 1
  return {
    id: metadata.id,
    title: metadata.title,
    genre: metadata.genre,
    summary: metadata.summary,
    url: cdnUrl.url,
    userviews: counts ? counts.userviews + added : null,
    assetviews: counts ? counts.assetviews + added : null,
    ...(degraded.length > 0 && { degraded }),
  }
}
