import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response'
import type { Context, MiddlewareHandler } from 'hono'
import { routePath } from 'hono/route'
import { Histogram } from 'prom-client'
import type { Logger } from '../runtime/log.ts'
import { createLogThrottle } from '../runtime/log-throttle.ts'
import type { Metrics } from '../service/metrics.ts'
import type { AppEnv } from './app-env.ts'
import { idsOf } from './request-context.ts'

const SLOW_MS = 1_000
const SUMMARY_INTERVAL_MS = 60_000

/**
 * Measures every request except streams, in a histogram by method, route pattern and status. Logs each request at
 * `debug`, slow ones at `warn` (throttled), and a summary at `info` for each minute with requests. The error handler
 * logs errors.
 */
export function accessLog({ log, metrics }: { log: Logger; metrics: Metrics }): MiddlewareHandler<AppEnv> {
  const observe = createDurations(metrics)
  const summarize = createSummary(log)
  const throttle = createLogThrottle()
  const logsEach = log.isLevelEnabled('debug')
  return async function accessLog(c, next) {
    const startedAt = performance.now()
    c.set('log', log)
    await next()
    // Streams are not measured, because their duration depends on the subscriber.
    if (c.res === RESPONSE_ALREADY_SENT) return
    const ms = performance.now() - startedAt
    const route = routePath(c, -1)
    observe(c, route, ms / 1_000)
    if (c.get('span').isRecorded) endSpan(c, route)
    summarize(ms, c.res.status)
    if (logsEach || ms >= SLOW_MS) {
      const line = { method: c.req.method, path: c.req.path, status: c.res.status, ms, ...idsOf(c) }
      const times = ms >= SLOW_MS ? throttle('slow') : undefined
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
  // prom-client hashes the labels on every call; caching the children halves the cost.
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

/** Attributes: https://opentelemetry.io/docs/specs/semconv/http/http-spans/#http-server-span */
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

/** Uses no timer: the first request after a minute logs the summary. */
function createSummary(log: Logger) {
  let intervalStart = performance.now()
  let requests = 0
  let failed = 0
  let slowestMs = 0
  return (ms: number, status: number) => {
    requests += 1
    if (status >= 500) failed += 1
    if (ms > slowestMs) slowestMs = ms
    const now = performance.now()
    if (now - intervalStart < SUMMARY_INTERVAL_MS) return
    log.info({ requests, failed, slowestMs, seconds: (now - intervalStart) / 1_000 }, 'requests served')
    intervalStart = now
    requests = failed = slowestMs = 0
  }
}
