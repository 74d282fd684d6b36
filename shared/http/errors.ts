import type { Context, ErrorHandler } from 'hono'
import { HTTPException } from 'hono/http-exception'
import type { ContentfulStatusCode } from 'hono/utils/http-status'
import { toProblem } from '../contracts/status.ts'
import { createLogThrottle } from '../runtime/log-throttle.ts'
import { toReason } from '../runtime/reason.ts'
import { type ErrorDetails, UnavailableError } from '../runtime/unavailable-error.ts'
import type { AppEnv } from './app-env.ts'
import { idsOf, setResponseHeader } from './request-context.ts'

/** A validation error for one field. */
export type FieldError = { path: string; message: string }

const RETRY_AFTER_S = 1

/** Responds with a Problem, the shape of all errors. */
export function problem(
  c: Context<AppEnv>,
  status: ContentfulStatusCode,
  errors?: FieldError[],
  details?: ErrorDetails,
) {
  if (status === 503) setResponseHeader(c, 'retry-after', String(RETRY_AFTER_S))
  // The rest of the body has not been read, so the connection cannot be reused.
  if (status === 408) c.header('connection', 'close')
  return c.json({ ...toProblem(status, c.get('requestId'), errors), ...details }, status)
}

/** Responds with a 429. A retry after `waitMs` milliseconds succeeds, unless other requests come first. */
export function tooManyRequests(c: Context<AppEnv>, waitMs: number) {
  setResponseHeader(c, 'retry-after', String(Math.ceil(waitMs / 1_000)))
  return problem(c, 429)
}

/** Turns thrown errors into responses. The details of a 5xx are logged, never sent. */
export function createErrorHandler(): ErrorHandler<AppEnv> {
  const throttle = createLogThrottle()
  return (error, c) => {
    if (error instanceof UnavailableError) return respondUnavailable(c, error)
    if (error instanceof HTTPException && error.status < 500) return respondInvalid(c, error)
    c.get('log').error({ err: error, ...idsOf(c), path: c.req.path }, 'request failed')
    return problem(c, 500)
  }

  /** Throttled, because under overload there are thousands of these errors per second. */
  function respondUnavailable(c: Context<AppEnv>, error: UnavailableError) {
    const times = throttle(error.message)
    if (times) {
      const line = { reason: toReason(error), times, ...idsOf(c), path: c.req.path }
      c.get('log').warn(line, 'request not served')
    }
    return problem(c, error.status, undefined, error.details)
  }
}

/** Converts Hono's errors, such as the error for malformed JSON, because their bodies are plain text. */
function respondInvalid(c: Context<AppEnv>, { status, message }: HTTPException) {
  return problem(c, status, status === 400 ? [{ path: '', message }] : undefined)
}
