import type { MiddlewareHandler } from 'hono'
import type { z } from 'zod'
import { AssetParams } from '../contracts/ids.ts'
import { PageQuery, pageOf } from '../contracts/page.ts'
import { AssetNotFound, Done } from '../contracts/status.ts'
import { auditWrites } from '../http/audit-log.ts'
import { createBaseApp } from '../http/base-app.ts'
import { limitConcurrency } from '../http/limit-concurrency.ts'
import { BODY_PROBLEMS, describeOperation } from '../http/openapi.ts'
import { jsonBody, validate } from '../http/validate.ts'
import { requireWriteToken, type WriteToken } from '../http/write-token.ts'
import { sleep } from '../runtime/sleep.ts'
import type { Service } from '../service/service.ts'
import type { Store } from '../stores/store.ts'
import { createBulkWrite, type Strippable } from './bulk-write.ts'
import type { Invalidations } from './invalidations.ts'

/** Maximum number of single-asset writes in flight. */
const MAX_WRITES = 1_000

/** How long a request waits for the store on a cold start. This is shorter than the edge's deadline. */
const LOAD_WAIT_MS = 400
const COLD_START_MS = 5_000

/** What a service stores per asset, and the path and schemas of its routes. */
type CatalogueDefinition<Fields> = {
  /** The route prefix, such as `/content`. */
  path: string
  /** An asset's stored fields; also the body of a POST. */
  fields: z.ZodType<Fields, Fields> & Strippable<Fields>
  /** The response for an asset. */
  entry: z.ZodType<{ id: string } & Fields>
}

export type CatalogueDeps<Fields> = Service & {
  store: Store<Fields>
  /** Resolves once the store can be read. On a cold start, requests wait briefly for the store. */
  loaded?: Promise<void> | undefined
  invalidations: Invalidations
  /** The token required for writes. If undefined, writes are open. */
  writeToken?: WriteToken | undefined
}

/** A service that stores one kind of data per asset, with CRUD by asset id and a paginated list. */
export function createCatalogueApp<Fields extends object>(
  { path, fields, entry }: CatalogueDefinition<Fields>,
  { store, loaded, invalidations, writeToken, ...service }: CatalogueDeps<Fields>,
) {
  const asset = `${path}/asset/:assetId` as const
  const notFound = (id: string, requestId: string): AssetNotFound => ({ id, status: 'Asset not found', requestId })
  const invalidate = (id: string) => invalidations.publish({ service: service.name, id })

  const limitWrites = limitConcurrency(MAX_WRITES, 'writes')

  return createBaseApp(service, {
    middleware: [auditWrites(), ...(loaded === undefined ? [] : [waitFor(loaded, path)])],
  })
    .get(
      asset,
      describeOperation({
        operationId: 'getAsset',
        summary: 'Get an asset',
        responses: { 200: entry, 404: AssetNotFound },
        problems: [400, 503],
      }),
      validate('param', AssetParams),
      (c) => {
        const { assetId } = c.req.valid('param')
        const found = store.get(assetId)
        return found ? c.json({ id: assetId, ...found }) : c.json(notFound(assetId, c.get('requestId')), 404)
      },
    )
    .post(
      asset,
      describeOperation({
        operationId: 'setAsset',
        summary: 'Create or replace an asset',
        responses: { 200: Done },
        problems: BODY_PROBLEMS,
        isWrite: true,
      }),
      requireWriteToken(writeToken),
      validate('param', AssetParams),
      jsonBody(),
      validate('json', fields),
      limitWrites,
      async (c) => {
        const { assetId } = c.req.valid('param')
        await store.set(assetId, c.req.valid('json'))
        invalidate(assetId)
        return c.json({ status: 'ok' })
      },
    )
    .delete(
      asset,
      describeOperation({
        operationId: 'deleteAsset',
        summary: 'Delete an asset',
        responses: { 200: Done, 404: AssetNotFound },
        problems: [400, 503],
        isWrite: true,
      }),
      requireWriteToken(writeToken),
      validate('param', AssetParams),
      limitWrites,
      async (c) => {
        const { assetId } = c.req.valid('param')
        if (!(await store.delete(assetId))) return c.json(notFound(assetId, c.get('requestId')), 404)
        invalidate(assetId)
        return c.json({ status: 'ok' })
      },
    )
    .get(
      `${path}/assets`,
      describeOperation({
        operationId: 'listAssets',
        summary: 'List all assets, ordered by id, in pages',
        responses: { 200: pageOf(entry) },
        problems: [400, 503],
      }),
      validate('query', PageQuery),
      (c) => {
        const { entries, next } = store.list(c.req.valid('query'))
        return c.json({ assets: entries.map(([id, fields]) => ({ id, ...fields })), next: next ?? null })
      },
    )
    .route('/', createBulkWrite({ path, fields, entry, store, invalidate, writeToken }))
}

function waitFor(loaded: Promise<void>, path: string): MiddlewareHandler {
  let isWaiting = true
  const stopWaiting = () => {
    isWaiting = false
  }
  void loaded.then(stopWaiting)
  setTimeout(stopWaiting, COLD_START_MS).unref()
  return async function waitForStore(c, next) {
    if (isWaiting && c.req.path.startsWith(`${path}/`)) await Promise.race([loaded, sleep(LOAD_WAIT_MS)])
    await next()
  }
}
