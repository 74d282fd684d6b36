import type { StandardSchemaV1 } from '@standard-schema/spec'
import type { Context, MiddlewareHandler } from 'hono'
import { HTTPException } from 'hono/http-exception'
import { validator } from 'hono-openapi'
import type { z } from 'zod'
import type { AppEnv } from './app-env.ts'
import { type FieldError, problem } from './errors.ts'

const KIB = 1024
export const SMALL_BODY = 64 * KIB
/** For a lookup of the maximum number of ids. */
export const LOOKUP_BODY = 4 * KIB * KIB
/** For a batch of the maximum number of views, each with the longest ids, escaped. */
export const BATCH_BODY = 20 * KIB * KIB

type Target = 'param' | 'query' | 'json'

/** Validates a part of the request against a schema. Returns 400 with an error per invalid field. */
export function validate<Name extends Target, Schema extends z.ZodType>(target: Name, schema: Schema) {
  return validator(target, schema, (result, c: Context<AppEnv, string>) => {
    if (result.success) return undefined
    return problem(c, 400, result.error.flatMap(toFieldErrors))
  })
}

/**
 * Requires a JSON body of at most `limit` bytes: 415 for another content type, 411 without a content-length, 413 above
 * the limit. Node enforces the declared length, so the body need not be read to check it.
 */
export function jsonBody(limit: number = SMALL_BODY): MiddlewareHandler<AppEnv> {
  return bodyOf('application/json', /^application\/([\w.+-]+\+)?json\s*(;|$)/i, limit)
}

/** The same for a body that may be missing: without a content-type and without content. */
export function optionalJsonBody(limit: number): MiddlewareHandler<AppEnv> {
  const requireJson = jsonBody(limit)
  return function optionalBody(c, next) {
    return hasBody(c) ? requireJson(c, next) : next()
  }
}

export function hasBody({ req }: Context<AppEnv>): boolean {
  if (req.header('content-type') !== undefined || req.header('transfer-encoding') !== undefined) return true
  return Number(req.header('content-length') ?? 0) > 0
}

/** @throws HTTPException with status 400 if the client ends it early */
export async function readBody(c: Context<AppEnv>): Promise<Uint8Array> {
  try {
    return new Uint8Array(await c.req.arrayBuffer())
  } catch (cause) {
    throw new HTTPException(400, { message: 'the body is incomplete', cause })
  }
}

/** Like jsonBody, for newline-delimited JSON. */
export function ndjsonBody(limit: number): MiddlewareHandler<AppEnv> {
  return bodyOf('application/x-ndjson', /^application\/x-ndjson\s*(;|$)/i, limit)
}

function bodyOf(type: string, accepted: RegExp, limit: number): MiddlewareHandler<AppEnv> {
  return async function body(c, next) {
    if (!accepted.test(c.req.header('content-type') ?? '')) {
      return problem(c, 415, [{ path: 'content-type', message: `send the header content-type: ${type}` }])
    }
    const length = c.req.header('content-length')
    if (length === undefined) {
      return problem(c, 411, [{ path: 'content-length', message: 'send the header content-length' }])
    }
    if (Number(length) > limit) {
      return problem(c, 413, [{ path: '', message: `the body has ${length} bytes; at most ${limit} are allowed` }])
    }
    await next()
  }
}

/** Reports an unknown field under its own path instead of its parent's. */
export function toFieldErrors(issue: StandardSchemaV1.Issue): FieldError[] {
  const path = (issue.path ?? []).map((part) => String(typeof part === 'object' ? part.key : part))
  const unknown = 'keys' in issue && Array.isArray(issue.keys) ? issue.keys.map(String) : []
  if (unknown.length === 0) return [{ path: path.join('.'), message: issue.message }]
  return unknown.map((key) => ({ path: [...path, key].join('.'), message: 'unknown field' }))
}
