import type { CdnUrl } from '../shared/contracts/cdn-url.ts'
import type { Degraded } from '../shared/contracts/playback.ts'
import { UnavailableError } from '../shared/runtime/unavailable-error.ts'
import type { RequestContext } from '../shared/tracing/tracing.ts'
import type { AssetCache } from './asset-cache.ts'
import type { LookedUp, LookedUpPlay, LookUpCounts } from './count-lookup.ts'
import type { LicensedMetadata } from './rights/entitlement.ts'

/** The asset of a play. */
export type FoundAsset = {
  metadata: LicensedMetadata
  cdnUrl: CdnUrl
  /** The upstreams whose data is stale. */
  degraded: Degraded[]
}

/** The data from all upstreams for one play. */
export type Aggregate = {
  asset: FoundAsset
  /** The counts, which may still be in flight. Resolves to undefined if they are unavailable, and never rejects. */
  counting: Promise<LookedUp | undefined>
}

/**
 * Fans out to all upstreams in parallel, and resolves once it has the asset; to undefined if metadata or cdnurl does not
 * have it.
 * @throws UnavailableError if metadata or cdnurl is down, and its data for the asset is not cached
 */
export type Aggregator = (play: LookedUpPlay, request: RequestContext) => Promise<Aggregate | undefined>

type Deps = {
  metadata: Pick<AssetCache<LicensedMetadata>, 'get'>
  cdnUrls: Pick<AssetCache<CdnUrl>, 'get'>
  lookUpCounts: LookUpCounts
}

export function createAggregator({ metadata, cdnUrls, lookUpCounts }: Deps): Aggregator {
  return async function aggregate(play, request) {
    const counting = lookUpCounts(play, request)
    const [content, url] = await Promise.all([metadata.get(play.assetId, request), cdnUrls.get(play.assetId, request)])
    if (content.state === 'absent' || url.state === 'absent') return undefined
    if (content.state === 'failed') throw toUnavailable('metadata', content.error)
    if (url.state === 'failed') throw toUnavailable('cdnurl', url.error)
    const degraded: Degraded[] = []
    if (content.state === 'stale') degraded.push('metadata')
    if (url.state === 'stale') degraded.push('cdnurl')
    return { asset: { metadata: content.value, cdnUrl: url.value, degraded }, counting }
  }
}

function toUnavailable(owner: string, cause: unknown): UnavailableError {
  if (cause instanceof UnavailableError) return cause
  return new UnavailableError(`${owner} is down and the asset is not cached`, { cause })
}
