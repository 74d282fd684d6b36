import type { Context, MiddlewareHandler } from 'hono'
import { REQUEST_ID, toRequestId } from '../runtime/request-id.ts'
import { type RequestContext, type Span, startNonRecordingSpan, type Tracing } from '../tracing/tracing.ts'
import type { AppEnv } from './app-env.ts'

const SERVER = { kind: 'server' } as const

type Options = {
  tracing: Tracing
  /** Paths of requests that get no span, because clients poll them or keep their responses open. */
  untraced: readonly string[]
}

/**
 * Assigns each request an id and a span. The id comes from the `x-request-id` header, or is a new id; the response
 * echoes it. The span belongs to the trace in the `traceparent` header, or to a new trace. If both are new, the trace
 * id is also the request id: a view stores both ids, and the log's compression removes the duplicate.
 *
 * Hono's own middleware costs 2.9 µs per request; this one costs 1 µs.
 */
export function requestContext({ tracing, untraced }: Options): MiddlewareHandler<AppEnv> {
  const isUntraced = new Set(untraced)
  return function requestContext(c, next) {
    const span = isUntraced.has(c.req.path) ? startNonRecordingSpan() : startSpan(c, tracing)
    // If the caller started the trace, the trace id is not unique to this request: other requests may share the trace.
    const isNewTrace = headerOf(c, 'traceparent') === undefined
    const requestId = toRequestId(headerOf(c, REQUEST_ID), isNewTrace ? span.traceId : undefined)
    c.set('requestId', requestId)
    setResponseHeader(c, REQUEST_ID, requestId)
    // Prevents browsers from sniffing the content type.
    setResponseHeader(c, 'x-content-type-options', 'nosniff')
    c.set('span', span)
    return next()
  }
}

function startSpan(c: Context<AppEnv>, tracing: Tracing): Span {
  const parent = { traceparent: headerOf(c, 'traceparent'), tracestate: headerOf(c, 'tracestate') }
  return tracing.start(c.req.method, parent, SERVER)
}

/** The context to propagate to upstream calls. */
export function requestContextOf(c: Context<AppEnv>): RequestContext {
  return { requestId: c.get('requestId'), span: c.get('span') }
}

/** The ids for log lines about this request. OpenTelemetry specifies the name `trace_id`. */
export function idsOf(c: Context<AppEnv>) {
  return { requestId: c.get('requestId'), trace_id: c.get('span').traceId }
}

/**
 * Sets a header before Hono's response exists. With a server, sets it on Node's response, because Hono would build a
 * Headers object for a second header, which is slow.
 */
export function setResponseHeader(c: Context<AppEnv>, name: string, value: string): void {
  const outgoing = c.env?.outgoing
  if (outgoing) outgoing.setHeader(name, value)
  else c.header(name, value)
}

/** Like setResponseHeader, but adds a line to the header. */
export function appendResponseHeader(c: Context<AppEnv>, name: string, value: string): void {
  const outgoing = c.env?.outgoing
  if (outgoing) outgoing.appendHeader(name, value)
  else c.header(name, value, { append: true })
}

/** Reads a header. With a server, reads it from Node's request, which is cheaper than Hono's Headers object. */
export function headerOf(c: Context<AppEnv>, name: string): string | undefined {
  const headers = c.env?.incoming?.headers
  if (!headers) return c.req.header(name)
  const value = headers[name]
  return typeof value === 'string' ? value : undefined
}
