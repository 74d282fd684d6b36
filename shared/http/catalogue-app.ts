import type { z } from 'zod'
import type { Changes } from '../changes/changes.ts'
import { AssetParams } from '../contracts/ids.ts'
import { PageQuery, pageOf } from '../contracts/page.ts'
import { AssetNotFound, Done } from '../contracts/status.ts'
import type { Service } from '../runtime/service.ts'
import type { Store } from '../stores/store.ts'
import { createBaseApp } from './base-app.ts'
import { createBulkWrite, type Strippable } from './bulk-write.ts'
import { BODY_PROBLEMS, describe } from './openapi.ts'
import { jsonBody, validate } from './validate.ts'
import { guardWrite } from './write-guard.ts'

export type CatalogueDeps<Fields> = Service & {
  store: Store<Fields>
  changes: Changes
  /** What a write must bring; undefined lets everybody write. */
  writeToken?: string | undefined
}

type Shape<Fields> = {
  /** The first part of the routes' paths, such as `/content`. */
  path: string
  /** What is kept of an asset, and taken in a POST. */
  fields: z.ZodType<Fields, Fields> & Strippable<Fields>
  /** What is answered for one. */
  entry: z.ZodType<{ id: string } & Fields>
}

/** A service that keeps one kind of data of each asset: read, replaced, deleted and listed by the asset's id. */
export function createCatalogueApp<Fields extends object>(
  { path, fields, entry }: Shape<Fields>,
  { store, changes, writeToken, ...service }: CatalogueDeps<Fields>,
) {
  const asset = `${path}/asset/:assetId` as const
  const notFound = (id: string) => ({ id, status: 'Asset not found' as const })
  const changed = (id: string) => changes.publish({ service: service.name, id })

  return createBaseApp(service)
    .get(
      asset,
      describe({
        operationId: 'getAsset',
        summary: 'One asset',
        answers: { 200: entry, 404: AssetNotFound },
        problems: [400, 503],
      }),
      validate('param', AssetParams),
      (c) => {
        const { assetId } = c.req.valid('param')
        const found = store.get(assetId)
        return found ? c.json({ id: assetId, ...found }) : c.json(notFound(assetId), 404)
      },
    )
    .post(
      asset,
      describe({
        operationId: 'setAsset',
        summary: 'Creates or replaces an asset',
        answers: { 200: Done },
        problems: [...BODY_PROBLEMS, 503],
        isWrite: true,
      }),
      guardWrite(writeToken),
      validate('param', AssetParams),
      jsonBody(),
      validate('json', fields),
      async (c) => {
        const { assetId } = c.req.valid('param')
        await store.set(assetId, c.req.valid('json'))
        changed(assetId)
        return c.json({ status: 'ok' })
      },
    )
    .delete(
      asset,
      describe({
        operationId: 'deleteAsset',
        summary: 'Deletes an asset',
        answers: { 200: Done, 404: AssetNotFound },
        problems: [400, 503],
        isWrite: true,
      }),
      guardWrite(writeToken),
      validate('param', AssetParams),
      async (c) => {
        const { assetId } = c.req.valid('param')
        if (!(await store.delete(assetId))) return c.json(notFound(assetId), 404)
        changed(assetId)
        return c.json({ status: 'ok' })
      },
    )
    .get(
      `${path}/assets`,
      describe({
        operationId: 'listAssets',
        summary: 'All assets by id, in pages',
        answers: { 200: pageOf(entry) },
        problems: [400, 503],
      }),
      validate('query', PageQuery),
      (c) => {
        const { entries, next } = store.list(c.req.valid('query'))
        return c.json({ assets: entries.map(([id, kept]) => ({ id, ...kept })), next: next ?? null })
      },
    )
    .route('/', createBulkWrite({ path, fields, entry, store, changed, writeToken }))
}
