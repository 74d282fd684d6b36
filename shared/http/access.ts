import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response'
import type { Context, MiddlewareHandler } from 'hono'
import { routePath } from 'hono/route'
import { Histogram } from 'prom-client'
import type { Logger } from '../runtime/log.ts'
import type { Metrics } from '../runtime/metrics.ts'
import { createSeldom } from '../runtime/seldom.ts'
import type { AppEnv } from './app-env.ts'
import { idsOf } from './request-context.ts'

const SLOW_MS = 1_000
const SUMMARY_EVERY_MS = 60_000

/**
 * Measures every request but streams: a histogram by method, route pattern and status; a line at `debug` for each, at `warn` for
 * slow ones (one a second), and one at `info` for each minute in which there were any. Errors are logged where they are handled.
 */
export function access({ log, metrics }: { log: Logger; metrics: Metrics }): MiddlewareHandler<AppEnv> {
  const observe = createDurations(metrics)
  const summarize = createSummary(log)
  const seldom = createSeldom()
  const each = log.isLevelEnabled('debug')

  return async function access(c, next) {
    const started = performance.now()
    c.set('log', log)
    await next()
    // A stream goes on for as long as its reader stays: its duration says nothing of the service.
    if (c.res === RESPONSE_ALREADY_SENT) return
    const ms = performance.now() - started
    const route = routePath(c, -1)
    observe(c, route, ms / 1_000)
    if (c.get('span').isRecorded) endSpan(c, route)
    summarize(ms, c.res.status)
    if (each || ms >= SLOW_MS) {
      const line = { method: c.req.method, path: c.req.path, status: c.res.status, ms, ...idsOf(c) }
      const times = ms >= SLOW_MS ? seldom('slow') : undefined
      if (times) log.warn({ ...line, times }, 'slow request')
      else log.debug(line, 'request')
    }
  }
}

function createDurations(metrics: Metrics) {
  const histogram = new Histogram({
    name: 'http_server_request_duration_seconds',
    help: 'Duration of HTTP server requests',
    labelNames: ['http_request_method', 'http_route', 'http_response_status_code'],
    buckets: [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5],
    registers: [metrics],
  })
  // prom-client looks labels up by hashing them; a held child costs half.
  const children = new Map<string, Histogram.Internal<string>>()
  return (c: Context<AppEnv>, route: string, seconds: number) => {
    const method = c.req.method
    const status = c.res.status
    const key = `${method} ${route} ${status}`
    let child = children.get(key)
    if (!child) {
      child = histogram.labels(method, route, String(status))
      children.set(key, child)
    }
    child.observe(seconds)
  }
}

/** As OpenTelemetry names them: https://opentelemetry.io/docs/specs/semconv/http/http-spans/#http-server-span */
function endSpan(c: Context<AppEnv>, route: string): void {
  const { status } = c.res
  const attributes = {
    'http.request.method': c.req.method,
    'http.route': route,
    'url.path': c.req.path,
    'http.response.status_code': status,
    ...(status >= 500 && { 'error.type': String(status) }),
  }
  c.get('span').end({ name: `${c.req.method} ${route}`, attributes, error: c.error })
}

/** No timer: the first request after a minute is over writes what it had. */
function createSummary(log: Logger) {
  let since = performance.now()
  let requests = 0
  let failed = 0
  let slowestMs = 0
  return (ms: number, status: number) => {
    requests += 1
    if (status >= 500) failed += 1
    if (ms > slowestMs) slowestMs = ms
    const now = performance.now()
    if (now - since < SUMMARY_EVERY_MS) return
    log.info({ requests, failed, slowestMs, seconds: (now - since) / 1_000 }, 'requests served')
    since = now
    requests = failed = slowestMs = 0
  }
}
