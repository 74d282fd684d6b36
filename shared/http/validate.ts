import type { StandardSchemaV1 } from '@standard-schema/spec'
import type { Context, MiddlewareHandler } from 'hono'
import { validator } from 'hono-openapi'
import type { z } from 'zod'
import type { AppEnv } from './app-env.ts'
import { type FieldError, problem } from './errors.ts'

const KIB = 1024
export const SMALL_BODY = 64 * KIB
export const BATCH_BODY = 4 * KIB * KIB

type Target = 'param' | 'query' | 'json'

/** Checks a part of the request against a schema, and answers 400 with each bad field named. */
export function validate<Name extends Target, Schema extends z.ZodType>(target: Name, schema: Schema) {
  return validator(target, schema, (result, c) => {
    if (result.success) return undefined
    return problem(c as unknown as Context<AppEnv>, 400, result.error.flatMap(fieldErrors))
  })
}

/**
 * Lets a request with a JSON body of at most `limit` bytes through: 415 for another type, 411 without a length,
 * 413 above it. The length is what the request says, which Node holds it to, so nothing is read to find out.
 */
export function jsonBody(limit: number = SMALL_BODY): MiddlewareHandler<AppEnv> {
  return bodyOf('application/json', /^application\/([\w.+-]+\+)?json\s*(;|$)/i, limit)
}

/** The same for a body of newline-delimited JSON. */
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
      return problem(c, 413, [{ path: '', message: `a body may have ${limit} bytes, this one has ${length}` }])
    }
    await next()
  }
}

/** An unknown field is reported under its own name, not under that of the object that has it. */
export function fieldErrors(issue: StandardSchemaV1.Issue): FieldError[] {
  const path = (issue.path ?? []).map((part) => String(typeof part === 'object' ? part.key : part))
  const unknown = 'keys' in issue && Array.isArray(issue.keys) ? (issue.keys as string[]) : []
  if (unknown.length === 0) return [{ path: path.join('.'), message: issue.message }]
  return unknown.map((key) => ({ path: [...path, key].join('.'), message: 'unknown field' }))
}
