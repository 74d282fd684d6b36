import type { Degraded, Playback } from '../shared/contracts/playback.ts'
import type { Aggregate } from './aggregate.ts'
import type { Recorded } from './spooler.ts'

/** Composes the response. The looked-up counts exclude this play, so add one. */
export function toPlayback({ metadata, cdnUrl, counts, degraded: missing }: Aggregate, recorded: Recorded): Playback {
  const degraded: Degraded[] = recorded === 'log' ? missing : [...missing, 'events']
  return {
    id: metadata.id,
    title: metadata.title,
    genre: metadata.genre,
    summary: metadata.summary,
    url: cdnUrl.url,
    userviews: counts ? counts.userviews + 1 : null,
    assetviews: counts ? counts.assetviews + 1 : null,
    ...(degraded.length > 0 && { degraded }),
  }
}
