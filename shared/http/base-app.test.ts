import { HTTPException } from 'hono/http-exception'
import { pino } from 'pino'
import { expect, test, vi } from 'vitest'
import { UnavailableError } from '../runtime/unavailable-error.ts'
import { expectProblem } from '../testing/expect-problem.ts'
import { useFakeClock } from '../testing/fake-clock.ts'
import { createTestService } from '../testing/test-service.ts'
import { createBaseApp } from './base-app.ts'
import { tooManyRequests } from './errors.ts'

const startedAt = expect.any(String)

test('healthz responds as long as the process runs', async () => {
  const response = await createTestApp().request('/healthz')
  expect(response.status).toBe(200)
  expect(await response.json()).toEqual({ status: 'alive' })
})

test('readyz returns 200 and the state of each dependency while every required one is up', async () => {
  const service = createTestService()
  const app = createBaseApp(service)
  expect(await readinessOf(app)).toEqual([200, { status: 'ready', dependencies: {}, startedAt }])
  service.health.watch('nats', { state: () => 'up', required: true })
  service.health.watch('reporting', { state: () => Promise.resolve('down'), required: false })
  expect(await readinessOf(app)).toEqual([
    200,
    { status: 'ready', dependencies: { nats: 'up', reporting: 'down' }, startedAt },
  ])
})

test.each(['down', 'unknown'] as const)('readyz returns 503 while a required dependency is %s', async (state) => {
  const service = createTestService()
  service.health.watch('nats', { state: () => state, required: true })
  expect(await readinessOf(createBaseApp(service))).toEqual([
    503,
    { status: 'not ready', dependencies: { nats: state }, startedAt },
  ])
})

test('readyz returns 503 once the service is stopping', async () => {
  const stopping = new AbortController()
  const service = createTestService('test', stopping.signal)
  service.health.watch('nats', { state: () => 'up', required: true })
  stopping.abort()
  expect(await readinessOf(createBaseApp(service))).toEqual([
    503,
    { status: 'stopping', dependencies: { nats: 'up' }, startedAt },
  ])
})

test('metrics label requests by route pattern and status, never by path', async () => {
  const app = createTestApp()
  for (const path of ['/things/apple', '/things/pear', '/fails', '/nope']) await app.request(path)
  const response = await app.request('/metrics')
  expect(response.status).toBe(200)
  expect(response.headers.get('content-type')).toMatch(/^text\/plain; version=0\.0\.4/)
  const text = await response.text()
  const counter = (route: string, status: number) =>
    `http_server_request_duration_seconds_count{http_request_method="GET",http_route="${route}",http_response_status_code="${status}"}`
  expect(text).toContain(`${counter('/things/:id', 200)} 2\n`)
  expect(text).toContain(`${counter('/fails', 500)} 1\n`)
  expect(text).not.toMatch(/apple|pear|nope/)
  expect(text).toContain('process_cpu_seconds_total')
})

test('openapi.json documents the routes in OpenAPI 3.1', async () => {
  const document = await (await createTestApp().request('/openapi.json')).json()
  expect(document).toMatchObject({
    openapi: expect.stringMatching(/^3\.1\./),
    info: { title: 'test' },
    paths: { '/healthz': { get: {} }, '/readyz': { get: { responses: { 200: {}, 503: {} } } } },
  })
  expect(document).not.toHaveProperty('components.securitySchemes')
})

test('the docs page loads nothing from other hosts', async () => {
  const app = createTestApp()
  const page = await app.request('/docs')
  expect(page.headers.get('content-type')).toMatch(/^text\/html/)
  const html = await page.text()
  const references = [...html.matchAll(/(?:src|href)="(?!data:)([^"]*)"/g)].map(([, reference]) => String(reference))
  expect(references.filter((reference) => reference.endsWith('.js'))).toHaveLength(2)
  expect(html).not.toMatch(/\/\/|@import|url\(/)
  for (const path of [...references, '/openapi.json']) {
    expect(path).toMatch(/^\/\w/)
    expect([path, (await app.request(path)).status]).toEqual([path, 200])
  }
  expect(await (await app.request('/docs/start.js')).text()).toContain("'/openapi.json'")
})

test('an unknown path returns 404', async () => {
  const app = createTestApp()
  await expectProblem(await app.request('/nope'), 404)
  await expectProblem(await app.request('/docs/..%2f..%2fpackage.json'), 404)
  await expectProblem(await app.request('/nope', { method: 'POST' }), 404)
})

test('an unsupported method returns 405, with the supported methods in `allow`', async () => {
  const response = await createTestApp().request('/things/apple', { method: 'DELETE' })
  await expectProblem(response, 405)
  expect(response.headers.get('allow')).toBe('GET, HEAD, POST')
})

test.each(['/fails', '/fails/http'])('the details of a 500 from %s are logged, not sent', async (path) => {
  const lines: object[] = []
  const log = pino({ level: 'warn' }, { write: (line) => lines.push(JSON.parse(line)) })
  const response = await createTestApp(log).request(path)
  expect(response.headers.get('content-type')).toBe('application/json')
  expect(await response.clone().text()).not.toContain('secret')
  await expectProblem(response, 500, [])
  expect(lines).toMatchObject([
    { level: 50, err: { message: 'secret' }, path, requestId: response.headers.get('x-request-id') },
  ])
})

test('an UnavailableError results in a 503 that has retry-after, but not the message', async () => {
  const response = await createTestApp().request('/unavailable')
  expect(response.headers.get('retry-after')).toBe('1')
  expect(await response.clone().text()).not.toContain('secret')
  await expectProblem(response, 503, [])
})

test('logging of 503 responses is throttled to one line per second, with a count', async () => {
  useFakeClock()
  const lines: object[] = []
  const log = pino({ level: 'warn' }, { write: (line) => lines.push(JSON.parse(line)) })
  const app = createTestApp(log)
  for (let n = 0; n < 100; n += 1) await app.request('/unavailable')
  expect(lines).toMatchObject([{ msg: 'request not served', times: 1 }])
  await vi.advanceTimersByTimeAsync(1_000)
  await app.request('/unavailable')
  expect(lines).toMatchObject([{ times: 1 }, { msg: 'request not served', times: 100 }])
})

test('a 429 response has retry-after in seconds, rounded up', async () => {
  const response = await createTestApp().request('/throttled')
  expect(response.headers.get('retry-after')).toBe('8')
  await expectProblem(response, 429, [])
})

const everyStatus = ['/healthz', '/docs/swagger-ui.css', '/nope', '/fails', '/unavailable', '/throttled']

test.each(everyStatus)('the response from %s echoes the request id', async (path) => {
  const id = 'a-Z_0=9'.padEnd(128, 'x')
  const response = await createTestApp().request(path, { headers: { 'x-request-id': id } })
  expect(response.headers.get('x-request-id')).toBe(id)
  const notAllowed = await createTestApp().request(path, { method: 'PATCH', headers: { 'x-request-id': id } })
  expect(notAllowed.headers.get('x-request-id')).toBe(id)
})

test.each(everyStatus)('the response from %s has x-content-type-options: nosniff', async (path) => {
  const response = await createTestApp().request(path)
  expect(response.headers.get('x-content-type-options')).toBe('nosniff')
})

test.each(['', 'a b', '<script>', '"', 'é', 'x'.repeat(129)])('the invalid request id %j is replaced', async (id) => {
  const response = await createTestApp().request('/nope', { headers: { 'x-request-id': id } })
  expect(response.headers.get('x-request-id')).toMatch(/^[0-9a-f-]{32,36}$/)
  await expectProblem(response, 404)
})

function createTestApp(log = createTestService().log) {
  return createBaseApp({ ...createTestService(), log })
    .get('/things/:id', (c) => c.json({ id: c.req.param('id') }))
    .post('/things/:id', (c) => c.body(null, 204))
    .get('/fails', () => {
      throw new Error('secret')
    })
    .get('/fails/http', () => {
      throw new HTTPException(500, { message: 'secret' })
    })
    .get('/unavailable', () => {
      throw new UnavailableError('secret', { cause: new Error('secret too') })
    })
    .get('/throttled', (c) => tooManyRequests(c, 7_001))
}

async function readinessOf(app: ReturnType<typeof createBaseApp>) {
  const response = await app.request('/readyz')
  return [response.status, await response.json()]
}
