import type { z } from 'zod'
import { expectBody, type ServiceClient, UpstreamError } from '../shared/client/service-client.ts'
import type { CataloguePage } from '../shared/contracts/catalogue-page.ts'
import { Metadata } from '../shared/contracts/metadata.ts'
import { type PageQuery, pageOf } from '../shared/contracts/page.ts'
import { type LookedUpCounts, LookupResponse } from '../shared/contracts/view-counts.ts'
import type { Logger } from '../shared/runtime/log.ts'
import { UnavailableError } from '../shared/runtime/unavailable-error.ts'
import type { RequestContext } from '../shared/tracing/tracing.ts'

/** Fetching a page of a thousand assets takes longer than fetching a single asset for a play. */
const LIST_TIMEOUT_MS = 1_000
const LOOKUP_TIMEOUT_MS = 500

const MetadataPage = pageOf(Metadata)
type MetadataPage = z.infer<typeof MetadataPage>

/**
 * Returns a page of assets with their counts. The counts are null while reporting is down or behind the log.
 * @throws UnavailableError if metadata is down
 */
export type Catalogue = (query: PageQuery, request: RequestContext) => Promise<CataloguePage>

type Deps = { metadata: Pick<ServiceClient, 'get'>; reporting: Pick<ServiceClient, 'post'>; log: Logger }

export function createCatalogue({ metadata, reporting, log }: Deps): Catalogue {
  async function list({ limit, after }: PageQuery, request: RequestContext): Promise<MetadataPage> {
    const query = new URLSearchParams({ limit: String(limit), ...(after && { after }) })
    const signal = AbortSignal.timeout(LIST_TIMEOUT_MS)
    try {
      return expectBody(await metadata.get(`/content/assets?${query}`, { signal, ...request }), 200, MetadataPage)
    } catch (cause) {
      throw new UnavailableError('metadata did not return its assets', { cause })
    }
  }

  async function lookUp(assets: string[], request: RequestContext): Promise<LookedUpCounts | undefined> {
    if (assets.length === 0) return { assets: {}, users: {} }
    const options = { signal: AbortSignal.timeout(LOOKUP_TIMEOUT_MS), ...request, idempotent: true }
    try {
      const found = expectBody(
        await reporting.post('/events/lookup', { assets, details: true }, options),
        200,
        LookupResponse,
      )
      if ('status' in found) throw new UpstreamError('reporting is behind the log')
      return found
    } catch (err) {
      log.debug({ err, requestId: request.requestId, trace_id: request.span.traceId }, 'counts unavailable')
      return undefined
    }
  }

  return async function getPage(query, request) {
    const { assets, next } = await list(query, request)
    const ids = assets.map(({ id }) => id)
    const counts = await lookUp(ids, request)
    return {
      assets: assets.map((asset) => ({ ...asset, ...countsOf(asset.id, counts) })),
      next,
      ...(!counts && { degraded: ['reporting'] }),
    }
  }
}

/** Counts that reporting did not return are null. */
function countsOf(id: string, counts: Partial<LookedUpCounts> = {}) {
  const { assets, qualified, viewers } = counts
  const countIn = (byId: Record<string, number> | undefined) => (byId ? (byId[id] ?? 0) : null)
  return { views: countIn(assets), qualified: countIn(qualified?.assets), viewers: countIn(viewers) }
}
