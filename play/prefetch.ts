import type { Context } from 'hono'
import type { Play } from '../shared/contracts/play.ts'
import type { AppEnv } from '../shared/http/app-env.ts'
import { headerOf } from '../shared/http/request-context.ts'
import type { RequestContext } from '../shared/tracing/tracing.ts'
import type { Aggregator } from './aggregate.ts'
import type { Played } from './playback.ts'
import type { PlayOptions } from './player.ts'
import { findRefusal, type Refused } from './rights/entitlement.ts'

/**
 * Gathers the data for a play that may follow, and records nothing. Resolves to undefined if there is no such asset.
 * @throws UnavailableError
 */
export type Prefetcher = (
  play: Play,
  request: RequestContext,
  options: Pick<PlayOptions, 'audience'>,
) => Promise<Played | Refused | undefined>

type Deps = {
  aggregate: Aggregator
  /** Called for each prefetch that is served. */
  onServed: () => void
}

export function createPrefetcher({ aggregate, onServed }: Deps): Prefetcher {
  return async function prefetch(play, request, { audience }) {
    const found = await aggregate(play, request)
    if (!found) return undefined
    const { asset, counting } = found
    const refused = findRefusal(asset.metadata, audience)
    if (refused) return refused
    const counts = await counting
    onServed()
    return { viewId: undefined, asset, counts, place: undefined }
  }
}

/**
 * True for `Sec-Purpose: prefetch`, with any parameters, such as `prefetch;prerender`
 * (https://fetch.spec.whatwg.org/#sec-purpose-header). A malformed header is ignored, so that the play counts.
 */
export function isPrefetch(c: Context<AppEnv>): boolean {
  return /^prefetch(?:;|$)/.test(headerOf(c, 'sec-purpose') ?? '')
}
