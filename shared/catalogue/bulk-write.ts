import { Hono } from 'hono'
import type { z } from 'zod'
import { BulkWriteDone, BulkWriteFailed } from '../contracts/bulk-write.ts'
import type { AppEnv } from '../http/app-env.ts'
import { problem } from '../http/errors.ts'
import { limitConcurrency } from '../http/limit-concurrency.ts'
import { BODY_PROBLEMS, describeOperation } from '../http/openapi.ts'
import { ndjsonBody, readBody } from '../http/validate.ts'
import { requireWriteToken, type WriteToken } from '../http/write-token.ts'
import { UnavailableError } from '../runtime/unavailable-error.ts'
import { createYielder } from '../runtime/yielder.ts'
import type { Store } from '../stores/store.ts'
import { MAX_INVALID_LINES, MAX_LINE_BYTES, parseAssetLines } from './asset-lines.ts'

const MAX_BODY_BYTES = 16 * 1024 * 1024
/** Limits memory use, because each request holds its body and the parsed assets in memory. */
const MAX_REQUESTS = 4
/** Concurrent writes per request: enough to hide the store's latency, but few enough for a slow disk. */
const MAX_WRITES = 32

/** An object schema with a variant that drops unknown fields instead of rejecting them. */
export type Strippable<Fields> = { strip(): z.ZodType<Fields> }

type Options<Fields> = {
  /** The route prefix, such as `/content`. */
  path: string
  fields: Strippable<Fields>
  /** The schema of one line, for the OpenAPI document. */
  entry: z.ZodType<{ id: string } & Fields>
  store: Store<Fields>
  /** Called with the id of each asset that is stored. */
  invalidate: (id: string) => void
  writeToken: WriteToken | undefined
}

/**
 * `POST <path>/assets`: creates or replaces many assets. Unlike a single-asset write, this route ignores unknown
 * fields, so that the same file can be posted to multiple services.
 */
export function createBulkWrite<Fields extends object>(options: Options<Fields>) {
  const { path, fields, entry, store, invalidate, writeToken } = options
  const knownFields = fields.strip()
  return new Hono<AppEnv>().post(
    `${path}/assets`,
    describeOperation({
      operationId: 'setAssets',
      summary: 'Create or replace many assets',
      description,
      requestBody: toRequestBody(entry),
      responses: { 200: BulkWriteDone },
      problems: BODY_PROBLEMS,
      problemSchemas: { 503: BulkWriteFailed },
      isWrite: true,
    }),
    requireWriteToken(writeToken),
    ndjsonBody(MAX_BODY_BYTES, { stored: 0 }),
    limitConcurrency(MAX_REQUESTS, 'bulk writes', { stored: 0 }),
    async (c) => {
      const { assets, errors } = await parseAssetLines(await readBody(c), knownFields)
      if (errors.length > 0) return problem(c, 400, errors)
      await storeAll(assets, async (id, fields) => {
        await store.set(id, fields)
        invalidate(id)
      })
      return c.json({ status: 'ok', stored: assets.size })
    },
  )
}

const description = `One JSON object per line, one per asset. Blank lines are skipped. Unknown fields are ignored, so that the same \
file can be posted to multiple services. If an id occurs more than once, the last line wins. Maximum size: \
${MAX_LINE_BYTES.toLocaleString('en')} bytes per line, ${MAX_BODY_BYTES.toLocaleString('en')} bytes for the body.

All lines are validated before any asset is stored; a 400 lists the first ${MAX_INVALID_LINES} invalid lines. The \
write is not atomic: if it fails midway, the 503 contains the number of assets stored. The request is safe to repeat.`

/**
 * OpenAPI 3.1 cannot describe the lines in a body, so this uses an extension named after OpenAPI 3.2's `itemSchema`.
 */
function toRequestBody(entry: z.ZodType) {
  const { id, examples } = entry.meta() ?? {}
  const lines = Array.isArray(examples) ? examples.map((example) => `${JSON.stringify(example)}\n`) : []
  const content = {
    schema: { type: 'string' as const },
    example: lines.join(''),
    'x-itemSchema': { $ref: `#/components/schemas/${id}` },
  }
  return { required: true, content: { 'application/x-ndjson': content } }
}

/**
 * Stores all assets. Starts no further writes after the first failure.
 * @throws UnavailableError with the number of assets stored
 */
async function storeAll<Fields>(
  assets: Map<string, Fields>,
  storeOne: (id: string, fields: Fields) => Promise<void>,
): Promise<void> {
  const queue = assets.entries()
  const yieldWhenDue = createYielder()
  let stored = 0
  let failure: { cause: unknown } | undefined

  async function work(): Promise<void> {
    for (const [id, fields] of queue) {
      if (failure) return
      try {
        await storeOne(id, fields)
        stored += 1
      } catch (cause) {
        failure ??= { cause }
      }
      await yieldWhenDue()
    }
  }

  await Promise.all(Array.from({ length: MAX_WRITES }, work))
  if (!failure) return
  if (!(failure.cause instanceof UnavailableError)) throw failure.cause
  throw new UnavailableError('not all assets were stored', { ...failure, details: { stored } })
}
