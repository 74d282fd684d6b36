import type { z } from 'zod'
import { expectBody, type ServiceClient } from '../shared/client/service-client.ts'
import { AssetNotFound } from '../shared/contracts/status.ts'
import type { RequestContext } from '../shared/tracing/tracing.ts'

/** The previous release of metadata and cdnurl sends no `requestId`. */
const NotFound = AssetNotFound.omit({ requestId: true })

/**
 * Returns a function that loads an asset from its upstream. The function returns undefined if the upstream does not
 * have the asset, and throws UpstreamError if the call fails.
 */
export function createAssetLoader<Schema extends z.ZodType>(
  owner: Pick<ServiceClient, 'get'>,
  { path, schema, timeoutMs }: { path: string; schema: Schema; timeoutMs: number },
) {
  return async function load(assetId: string, request: RequestContext): Promise<z.output<Schema> | undefined> {
    const signal = AbortSignal.timeout(timeoutMs)
    const response = await owner.get(`${path}/asset/${assetId}`, { signal, ...request })
    if (response.status !== 404) return expectBody(response, 200, schema)
    expectBody(response, 404, NotFound)
    return undefined
  }
}
