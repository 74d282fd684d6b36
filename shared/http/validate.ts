import type { StandardSchemaV1 } from '@standard-schema/spec'
import type { Context, MiddlewareHandler } from 'hono'
import { HTTPException } from 'hono/http-exception'
import { validator } from 'hono-openapi'
import type { z } from 'zod'
import { UNREADABLE } from '../runtime/parse-safely.ts'
import type { ErrorDetails } from '../runtime/unavailable-error.ts'
import type { AppEnv } from './app-env.ts'
import { type FieldError, problem } from './errors.ts'
import { createBodyReceiver, discardBody } from './receive-body.ts'

const KIB = 1024
export const SMALL_BODY = 64 * KIB
/** Large enough for a lookup of the maximum number of ids. */
export const LOOKUP_BODY = 4 * KIB * KIB
/** Large enough for the maximum number of views with maximum-length ids, even if every character is escaped. */
export const BATCH_BODY = 20 * KIB * KIB

/** The bodies in flight on a route may take this much memory, or four times the route's limit if that is more. */
const MIN_BODIES_IN_FLIGHT = 4 * KIB * KIB

type Target = 'param' | 'query' | 'json'

/**
 * Validates a part of the request against a schema. Returns 400 with an error per invalid field.
 * @param compiled the compiled schema, if the route is called often
 */
export function validate<Name extends Target, Schema extends z.ZodType>(
  target: Name,
  schema: Schema,
  compiled: Schema = schema,
) {
  const validateStrictly = validator(target, compiled, (result, c: Context<AppEnv, string>) => {
    if (result.success) return undefined
    return problem(c, 400, result.error.flatMap(toFieldErrors))
  })
  const validateSafely: typeof validateStrictly = async (c, next) => {
    try {
      return await validateStrictly(c, next)
    } catch (error) {
      // See parseSafely. Errors from later handlers do not get here, because Hono handles them within `next`.
      if (!(error instanceof TypeError)) throw error
      return problem(c, 400, [{ path: '', message: UNREADABLE }])
    }
  }
  // The OpenAPI document is generated from the middleware's properties. Take them from the original schema, because a
  // compiled schema has no metadata.
  return Object.assign(validateSafely, validator(target, schema))
}

/**
 * Requires a JSON body of at most `limit` bytes. Returns 415 for a different content type, 411 without a
 * content-length, and 413 above the limit. Node enforces the declared length, so the body need not be read to check it.
 * A body of up to twice the limit is discarded as it arrives, so that the client receives the 413. Returns 408 if the
 * body takes more than 10 s to arrive, and 503 if the bodies in flight on this route take too much memory.
 */
export function jsonBody(limit: number = SMALL_BODY): MiddlewareHandler<AppEnv> {
  return bodyOf('application/json', /^application\/([\w.+-]+\+)?json\s*(;|$)/i, limit)
}

/** Like jsonBody, but accepts a request that has neither a body nor a content-type. */
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

/** @throws HTTPException with status 400 if the client closes the connection before the body is complete */
export async function readBody(c: Context<AppEnv>): Promise<Uint8Array> {
  try {
    return new Uint8Array(await c.req.arrayBuffer())
  } catch (cause) {
    throw new HTTPException(400, { message: 'the body is incomplete', cause })
  }
}

/**
 * Requires a body of newline-delimited JSON, with the same limits and errors as `jsonBody`.
 * @param details additional fields in the 503
 */
export function ndjsonBody(limit: number, details?: ErrorDetails): MiddlewareHandler<AppEnv> {
  return bodyOf('application/x-ndjson', /^application\/x-ndjson\s*(;|$)/i, limit, details)
}

function bodyOf(type: string, accepted: RegExp, limit: number, details?: ErrorDetails): MiddlewareHandler<AppEnv> {
  const receive = createBodyReceiver(Math.max(4 * limit, MIN_BODIES_IN_FLIGHT), details)
  return async function body(c, next) {
    if (!accepted.test(c.req.header('content-type') ?? '')) {
      return problem(c, 415, [{ path: 'content-type', message: `send the header content-type: ${type}` }])
    }
    const length = c.req.header('content-length')
    if (length === undefined) {
      return problem(c, 411, [{ path: 'content-length', message: 'send the header content-length' }])
    }
    const { incoming } = c.env ?? {}
    if (Number(length) > limit) {
      if (incoming && Number(length) <= 2 * limit) await discardBody(incoming)
      return problem(c, 413, [{ path: '', message: `the body has ${length} bytes; at most ${limit} are allowed` }])
    }
    if (!incoming) return next()
    using received = await receive(incoming)
    // Hono's adapter reads the body from here.
    Object.assign(incoming, { rawBody: received.body })
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
