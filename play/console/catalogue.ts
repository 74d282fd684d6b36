import type { z } from 'zod'
import type { CataloguePage } from '../../shared/contracts/catalogue-page.ts'
import { Metadata } from '../../shared/contracts/metadata.ts'
import { type PageQuery, pageOf } from '../../shared/contracts/page.ts'
import { LookedUpCounts } from '../../shared/contracts/view-counts.ts'
import { expectBody, type ServiceClient } from '../../shared/http/service-client.ts'
import type { Logger } from '../../shared/runtime/log.ts'
import { UnavailableError } from '../../shared/runtime/unavailable.ts'
import type { RequestContext } from '../../shared/tracing/tracing.ts'

/** A thousand assets take longer than a play's one. */
const LIST_MS = 1_000
const LOOKUP_MS = 500

const MetadataPage = pageOf(Metadata)
type MetadataPage = z.infer<typeof MetadataPage>

/**
 * A page of all assets with their views, null while reporting is away.
 * @throws UnavailableError while metadata is
 */
export type Catalogue = (query: PageQuery, request: RequestContext) => Promise<CataloguePage>

type Deps = { metadata: Pick<ServiceClient, 'get'>; reporting: Pick<ServiceClient, 'post'>; log: Logger }

export function createCatalogue({ metadata, reporting, log }: Deps): Catalogue {
  async function list({ limit, after }: PageQuery, request: RequestContext): Promise<MetadataPage> {
    const query = new URLSearchParams({ limit: String(limit), ...(after && { after }) })
    const signal = AbortSignal.timeout(LIST_MS)
    try {
      return expectBody(await metadata.get(`/content/assets?${query}`, { signal, ...request }), 200, MetadataPage)
    } catch (cause) {
      throw new UnavailableError('metadata does not list its assets', { cause })
    }
  }

  async function lookUp(assets: string[], request: RequestContext): Promise<Record<string, number> | undefined> {
    if (assets.length === 0) return {}
    const options = { signal: AbortSignal.timeout(LOOKUP_MS), ...request, idempotent: true }
    try {
      return expectBody(await reporting.post('/events/lookup', { assets }, options), 200, LookedUpCounts).assets
    } catch (err) {
      log.debug({ err, requestId: request.requestId, trace_id: request.span.traceId }, 'counts not read')
      return undefined
    }
  }

  return async (query, request) => {
    const { assets, next } = await list(query, request)
    const counts = await lookUp(
      assets.map(({ id }) => id),
      request,
    )
    return {
      assets: assets.map((asset) => ({ ...asset, views: counts ? (counts[asset.id] ?? 0) : null })),
      next,
      ...(!counts && { degraded: ['reporting'] }),
    }
  }
}
