import { randomUUID } from 'node:crypto'
import type { Context, MiddlewareHandler } from 'hono'
import { type RequestContext, type Span, startNonRecordingSpan, type Tracing } from '../tracing/tracing.ts'
import type { AppEnv } from './app-env.ts'

const REQUEST_ID = 'x-request-id'
const VALID_ID = /^[\w\-=]{1,128}$/
const SERVER = { kind: 'server' } as const

type Options = {
  tracing: Tracing
  /** Paths that are polled, or that stay open: no spans. */
  untraced: readonly string[]
}

/**
 * Gives each request an id, from its `x-request-id` or a new one, which the response returns; and a span, in the trace of
 * its `traceparent` or a new one.
 *
 * Hono's own middleware costs 2.9 µs a request; this one costs 1 µs.
 */
export function requestContext({ tracing, untraced }: Options): MiddlewareHandler<AppEnv> {
  const isUntraced = new Set(untraced)
  return function requestContext(c, next) {
    const given = headerOf(c, REQUEST_ID)
    const requestId = given !== undefined && VALID_ID.test(given) ? given : randomUUID()
    c.set('requestId', requestId)
    setResponseHeader(c, REQUEST_ID, requestId)
    // Tells browsers not to guess another content type.
    setResponseHeader(c, 'x-content-type-options', 'nosniff')
    c.set('span', isUntraced.has(c.req.path) ? startNonRecordingSpan() : startSpan(c, tracing))
    return next()
  }
}

function startSpan(c: Context<AppEnv>, tracing: Tracing): Span {
  const parent = { traceparent: headerOf(c, 'traceparent'), tracestate: headerOf(c, 'tracestate') }
  return tracing.start(c.req.method, parent, SERVER)
}

/** What to propagate to calls on behalf of this request. */
export function requestContextOf(c: Context<AppEnv>): RequestContext {
  return { requestId: c.get('requestId'), span: c.get('span') }
}

/** The ids for a log line about this request, with OpenTelemetry's name for the trace. */
export function idsOf(c: Context<AppEnv>) {
  return { requestId: c.get('requestId'), trace_id: c.get('span').traceId }
}

/**
 * Sets a header before the response exists. It sets it on Node's response if there is one: a second header in Hono
 * makes it build a Headers object, which is slow.
 */
function setResponseHeader(c: Context<AppEnv>, name: string, value: string): void {
  const outgoing = c.env?.outgoing
  if (outgoing) outgoing.setHeader(name, value)
  else c.header(name, value)
}

/** Reads Node's request if there is one, which is cheaper than Hono's Headers object. */
function headerOf(c: Context<AppEnv>, name: string): string | undefined {
  const headers = c.env?.incoming?.headers
  if (!headers) return c.req.header(name)
  const value = headers[name]
  return typeof value === 'string' ? value : undefined
}
