import type { Context, ErrorHandler } from 'hono'
import { HTTPException } from 'hono/http-exception'
import type { ContentfulStatusCode } from 'hono/utils/http-status'
import type { Problem } from '../contracts/status.ts'
import { reasonOf } from '../runtime/reason.ts'
import { createSeldom } from '../runtime/seldom.ts'
import { type ErrorDetails, UnavailableError } from '../runtime/unavailable.ts'
import type { AppEnv } from './app-env.ts'
import { idsOf } from './request-context.ts'

/** What a client may be told about a field of what it sent. */
export type FieldError = { path: string; message: string }

/** How long a client should wait before it asks again what could not be served. */
const RETRY_AFTER_S = 1

const statusTexts: Partial<Record<number, string>> = {
  401: 'Unauthorized',
  404: 'Not found',
  405: 'Method not allowed',
  411: 'Length required',
  413: 'Content too large',
  415: 'Unsupported media type',
  429: 'Too many requests',
  503: 'Service unavailable',
}

/** Answers with the one shape that every error has. */
export function problem(
  c: Context<AppEnv>,
  status: ContentfulStatusCode,
  errors?: FieldError[],
  details?: ErrorDetails,
) {
  const body: Problem = {
    status: statusTextOf(status),
    ...(errors && { errors }),
    requestId: c.get('requestId'),
  }
  if (status === 429 || status === 503) c.header('retry-after', String(RETRY_AFTER_S))
  return c.json({ ...body, ...details }, status)
}

/** What a Problem with this status begins with. */
export function statusTextOf(status: number): string {
  return statusTexts[status] ?? (status < 500 ? 'Invalid request' : 'Internal error')
}

/** The one place where a throw becomes an answer. What is behind a 5xx is logged, never told. */
export function createErrorHandler(): ErrorHandler<AppEnv> {
  const seldom = createSeldom()
  return (error, c) => {
    if (error instanceof UnavailableError) return unavailable(c, error)
    if (error instanceof HTTPException && error.status < 500) return refused(c, error)
    c.get('log').error({ err: error, ...idsOf(c), path: c.req.path }, 'request failed')
    return problem(c, 500)
  }

  /** Where one request is not served, thousands are: a line a second tells of them. */
  function unavailable(c: Context<AppEnv>, error: UnavailableError) {
    const times = seldom(error.message)
    if (times) {
      const line = { reason: reasonOf(error), times, ...idsOf(c), path: c.req.path }
      c.get('log').warn(line, 'request not served')
    }
    return problem(c, 503, undefined, error.details)
  }
}

/** Hono's own refusals are text: a body that is not JSON, above all. */
function refused(c: Context<AppEnv>, { status, message }: HTTPException) {
  return problem(c, status as ContentfulStatusCode, status === 400 ? [{ path: '', message }] : undefined)
}
