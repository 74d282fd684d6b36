import type { z } from 'zod'
import { type ServiceEntry, services } from '../services.ts'
import type { Invalidations } from '../shared/catalogue/invalidations.ts'
import { withCircuitBreaker } from '../shared/client/circuit-breaker.ts'
import { instrumentClient } from '../shared/client/instrument-client.ts'
import { createServiceClient, type ServiceClient } from '../shared/client/service-client.ts'
import type { Instances } from '../shared/discovery/discovery.ts'
import type { Secret } from '../shared/runtime/secret.ts'
import type { ServiceSettings } from '../shared/service/run-service.ts'
import type { Service } from '../shared/service/service.ts'
import type { AssetCache, CacheOutcome, createAssetCache } from './asset-cache.ts'
import { createAssetLoader } from './asset-loader.ts'
import { LicensedMetadata } from './rights/entitlement.ts'
import type { playSettings } from './settings.ts'
import { playerCdnUrl } from './signing/player-cdn-url.ts'

/** The deadline for all of a play's upstream calls, which run in parallel. */
export const UPSTREAM_TIMEOUT_MS = 500
const MAX_CACHED_ASSETS = 10_000

type Options = {
  invalidations: Invalidations
  createAssetCache: typeof createAssetCache
  /** @returns a function that counts the reads of the cache for `source` */
  onRead: (source: string) => (outcome: CacheOutcome) => void
}

/** Opens clients for all services. */
export async function openUpstreams(
  service: Service,
  settings: ServiceSettings<typeof playSettings>,
  { invalidations, createAssetCache, onRead }: Options,
) {
  const { discovery, health, resources } = service
  const { UPSTREAM_CA: ca, READ_TOKEN } = settings

  function open({ name }: ServiceEntry, instances: Instances, readToken?: Secret) {
    return resources.use(createServiceClient({ name, instances, ca, readToken }))
  }
  const find = ({ name }: ServiceEntry, urls: string[]) => discovery.instancesOf(name, urls)
  function protect(upstream: ServiceClient) {
    const client = withCircuitBreaker(upstream, service)
    const { state, reason, circuit } = client
    health.watch(upstream.name, { state, reason, circuit, required: false })
    return instrumentClient(client, service.metrics)
  }
  function cacheOf<Schema extends z.ZodType>(owner: ServiceClient, path: string, schema: Schema) {
    const load = createAssetLoader(owner, { path, schema, timeoutMs: UPSTREAM_TIMEOUT_MS })
    const count = onRead(owner.name)
    const attribute = `cache.${owner.name}`
    return createAssetCache({
      load,
      ttlMs: settings.CATALOGUE_TTL,
      max: MAX_CACHED_ASSETS,
      onRead(outcome, { span }) {
        count(outcome)
        if (span.isRecorded) span.annotate({ [attribute]: outcome })
      },
    })
  }

  const cdnUrl = await playerCdnUrl(settings, MAX_CACHED_ASSETS)
  const { metadata: content, cdnurl: urls, reporting: counts, 'queue-listener': listener, play } = services
  const reportings = find(counts, settings.REPORTING_URL)
  const clients = {
    metadata: open(content, find(content, settings.METADATA_URL)),
    cdnurl: open(urls, find(urls, settings.CDNURL_URL)),
    reporting: open(counts, reportings, READ_TOKEN),
    listener: open(listener, find(listener, settings.QUEUE_LISTENER_URL)),
    play: open(play, find(play, settings.PLAY_URL ?? [])),
  }
  const metadata = protect(clients.metadata)
  const cdnurl = protect(clients.cdnurl)
  // A separate client, because a failed call ejects an instance, and explanations and series must not affect plays.
  const reporting = protect(open(counts, reportings, READ_TOKEN))
  const caches = {
    metadata: cacheOf(metadata, '/content', LicensedMetadata),
    cdnurl: cacheOf(cdnurl, '/url', cdnUrl),
  }
  expireOnInvalidation(caches, invalidations)
  return {
    /** Clients without circuit breakers, for calls whose failures must not open the circuits that plays use. */
    clients,
    metadata,
    reporting,
    caches,
  }
}

function expireOnInvalidation(caches: Record<string, AssetCache<unknown>>, invalidations: Invalidations): void {
  invalidations.subscribe(
    ({ service, id }) => Object.hasOwn(caches, service) && caches[service]?.expire(id),
    () => {
      for (const cache of Object.values(caches)) cache.expireAll()
    },
  )
}
