import { expect, test } from 'vitest'
import { listen } from '../service/listen.ts'
import { createTestService } from '../testing/test-service.ts'
import type { IncomingTrace } from '../tracing/trace-context.ts'
import { nonRecordingSpan, nonRecordingTracing, type Span, type SpanOptions, type Tracing } from '../tracing/tracing.ts'
import { createBaseApp } from './base-app.ts'
import { requestContextOf } from './request-context.ts'

const traceId = '4bf92f3577b34da6a3ce929d0e0e4736'
const traceparent = `00-${traceId}-00f067aa0ba902b7-01`

test("each request has a span in its caller's trace", async () => {
  const { app, started } = setUp()
  await app.request('/things/1', { headers: { traceparent, tracestate: 'vendor=1' } })
  await app.request('/things/1')
  expect(started).toMatchObject([
    { name: 'GET', parent: { traceparent, tracestate: 'vendor=1' }, options: { kind: 'server' } },
    { name: 'GET', parent: { traceparent: undefined, tracestate: undefined } },
  ])
})

test('a span ends with the route, the status and the error', async () => {
  const { app, started } = setUp()
  await app.request('/things/1')
  await app.request('/fails')
  await app.request('/nope')
  expect(started.map(({ outcome }) => outcome)).toEqual([
    {
      name: 'GET /things/:id',
      attributes: {
        'http.request.method': 'GET',
        'http.route': '/things/:id',
        'url.path': '/things/1',
        'http.response.status_code': 200,
      },
      error: undefined,
    },
    {
      name: 'GET /fails',
      attributes: {
        'http.request.method': 'GET',
        'http.route': '/fails',
        'url.path': '/fails',
        'http.response.status_code': 500,
        'error.type': '500',
      },
      error: new Error('broken'),
    },
    { name: 'GET /*', attributes: expect.objectContaining({ 'http.response.status_code': 404 }), error: undefined },
  ])
})

test("probes, metrics and a service's untraced paths have no span", async () => {
  const { app, started } = setUp()
  for (const path of ['/healthz', '/readyz', '/metrics', '/polled']) await app.request(path)
  expect(started).toEqual([])
  await app.request('/docs')
  expect(started).toHaveLength(1)
})

test('a handler can read the request id and the trace id, to propagate them', async () => {
  const { app } = setUp()
  const response = await app.request('/context', { headers: { 'x-request-id': 'request-1' } })
  expect(await response.json()).toEqual({ requestId: 'request-1', traceId })
})

test('the request id is the trace id if the request starts the trace; otherwise, it is unique', async () => {
  const { app } = setUp()
  expect(await (await app.request('/context')).json()).toEqual({ requestId: traceId, traceId })
  const ids = new Set<string | null>([traceId])
  for (let n = 0; n < 2; n += 1) {
    const { headers } = await app.request('/context', { headers: { traceparent } })
    ids.add(headers.get('x-request-id'))
  }
  expect(ids.size).toBe(3)
})

test('with a server, headers are read from the Node request and written to the Node response', async () => {
  const { app, started, log } = setUp()
  await using server = await listen(app, { host: '127.0.0.1', port: 0, log })
  const headers = { 'x-request-id': 'request-1', traceparent, tracestate: 'vendor=1' }
  const response = await fetch(`${server.url}/things/1`, { headers })
  expect(response.headers.get('x-request-id')).toBe('request-1')
  expect(response.headers.get('x-content-type-options')).toBe('nosniff')
  expect(started).toMatchObject([{ parent: { traceparent, tracestate: 'vendor=1' } }])
  await fetch(`${server.url}/things/1`)
  expect(started[1]?.parent).toEqual({ traceparent: undefined, tracestate: undefined })
})

type Started = { name: string; parent: IncomingTrace; options: SpanOptions | undefined; outcome?: unknown }

function setUp() {
  const started: Started[] = []
  const tracing: Tracing = {
    start(name, parent, options): Span {
      const span: Started = { name, parent, options }
      started.push(span)
      const end: Span['end'] = (outcome) => {
        span.outcome = outcome
      }
      return { ...nonRecordingSpan(traceId, traceparent, undefined), isRecorded: true, end }
    },
    kept: nonRecordingTracing.kept,
    async [Symbol.asyncDispose]() {},
  }
  const service = createTestService()
  const app = createBaseApp({ ...service, tracing }, { untraced: ['/polled'] })
    .get('/things/:id', (c) => c.body(null))
    .get('/polled', (c) => c.body(null))
    .get('/context', (c) => {
      const { requestId, span } = requestContextOf(c)
      return c.json({ requestId, traceId: span.traceId })
    })
    .get('/fails', () => {
      throw new Error('broken')
    })
  return { app, started, log: service.log }
}
