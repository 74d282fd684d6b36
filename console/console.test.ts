import type { Hono } from 'hono'
import { expect, test } from 'vitest'
import { createLocalInvalidations } from '../shared/catalogue/local-invalidations.ts'
import { type ServiceResponse, UpstreamError } from '../shared/client/service-client.ts'
import type { Audit } from '../shared/contracts/audit.ts'
import type { Readiness } from '../shared/contracts/readiness.ts'
import type { Series } from '../shared/contracts/series.ts'
import { SystemStatus } from '../shared/contracts/system-status.ts'
import type { LookedUpCounts } from '../shared/contracts/view-counts.ts'
import type { AppEnv } from '../shared/http/app-env.ts'
import { createBaseApp } from '../shared/http/base-app.ts'
import { sleep } from '../shared/runtime/sleep.ts'
import { expectProblem } from '../shared/testing/expect-problem.ts'
import { createTestService } from '../shared/testing/test-service.ts'
import { runningTime } from '../tests/harness/running-time.ts'
import { createCatalogue } from './catalogue.ts'
import { createConsole } from './console.ts'
import { createSeriesReader } from './series.ts'
import { createStatus } from './status.ts'

const it = { id: '123', title: 'It', genre: 'horror', summary: '' }

test('the CSP limits scripts, styles and requests to the same origin, and requires Trusted Types', async () => {
  const response = await setUp().app.request('/')
  expect(response.headers.get('content-type')).toBe('text/html; charset=utf-8')
  const policy = response.headers.get('content-security-policy')?.split('; ')
  expect(policy).toEqual(
    expect.arrayContaining([
      "default-src 'none'",
      "script-src 'self'",
      "connect-src 'self'",
      "frame-ancestors 'none'",
      "require-trusted-types-for 'script'",
    ]),
  )
  const html = await response.text()
  expect(html).not.toMatch(/<script>|<style|\son\w+=|\sstyle=|https?:\/\//)
})

test('the page may read playlists and segments from the CDN, but from no other origin', async () => {
  const policyWith = async (cdnOrigin?: string) =>
    (await setUp({ cdnOrigin }).app.request('/')).headers.get('content-security-policy')?.split('; ')
  expect(await policyWith('https://cdn.example')).toContain("connect-src 'self' https://cdn.example")
  expect(await policyWith()).toContain("connect-src 'self'")
})

test.each([
  ['console.js', 'text/javascript; charset=utf-8'],
  ['console.css', 'text/css; charset=utf-8'],
  ['uplot.js', 'text/javascript; charset=utf-8'],
  ['uplot.css', 'text/css; charset=utf-8'],
  ['hls.js', 'text/javascript; charset=utf-8'],
  ['icon.svg', 'image/svg+xml'],
])('/console/%s is served as %s, and revalidated with its ETag', async (name, type) => {
  const { app } = setUp()
  const { status, headers } = await app.request(`/console/${name}`)
  expect([status, headers.get('content-type'), headers.get('x-content-type-options')]).toEqual([200, type, 'nosniff'])
  const again = await app.request(`/console/${name}`, { headers: { 'if-none-match': String(headers.get('etag')) } })
  expect([again.status, await again.text()]).toEqual([304, ''])
})

test.each([
  '/console/',
  '/console/tsconfig.json',
  '/console/index.html',
  '/console/..%2Fpage.ts',
  '/console/../page.ts',
])('%s returns 404', async (path) => {
  await expectProblem(await setUp().app.request(path), 404)
})

test("the page's routes do not prevent Hono from compiling all routes into one regular expression", async () => {
  const { app } = setUp()
  await app.request('/console/console.js')
  expect(app.router.name).toBe('SmartRouter + RegExpRouter')
})

test('/catalogue returns a page of assets with their views, qualified views and viewers', async () => {
  const { app, calls } = setUp({
    list: { assets: [it, { ...it, id: '456' }], next: '456' },
    counts: { assets: { '123': 7 }, qualified: { assets: { '123': 5 }, users: {} }, viewers: { '123': 2 } },
  })
  expect(await (await app.request('/catalogue?limit=2&after=100')).json()).toEqual({
    assets: [
      { ...it, views: 7, qualified: 5, viewers: 2 },
      { ...it, id: '456', views: 0, qualified: 0, viewers: 0 },
    ],
    next: '456',
  })
  expect(calls).toEqual([
    { path: '/content/assets?limit=2&after=100' },
    { path: '/events/lookup', body: { assets: ['123', '456'], details: true }, idempotent: true },
  ])
})

test('/catalogue is degraded while reporting is down, and returns assets without counts', async () => {
  const { app } = setUp({ list: { assets: [it], next: null } })
  expect(await (await app.request('/catalogue')).json()).toEqual({
    assets: [{ ...it, views: null, qualified: null, viewers: null }],
    next: null,
    degraded: ['reporting'],
  })
})

test.each([
  ['is down', undefined],
  ['responds with invalid data', { assets: [{ id: '123' }], next: null }],
])('/catalogue returns 503 while metadata %s', async (_, list) => {
  await expectProblem(await setUp({ list, counts: { assets: {} } }).app.request('/catalogue'), 503)
})

test('/catalogue serves up to 8 concurrent requests, and rejects the rest with 503', async () => {
  const { app } = setUp({ list: { assets: [it], next: null }, counts: { assets: {} } })
  const responses = await Promise.all(Array.from({ length: 20 }, () => app.request('/catalogue')))
  const statuses = responses.map(({ status }) => status)
  expect(statuses.filter((status) => status === 200)).toHaveLength(8)
  expect(statuses.filter((status) => status === 503)).toHaveLength(12)
  expect((await app.request('/catalogue')).status).toBe(200)
})

test.each(['limit=0', 'limit=1001', 'limit=x', 'after=a/b'])('/catalogue?%s returns 400', async (query) => {
  await expectProblem(await setUp().app.request(`/catalogue?${query}`), 400, [query.replace(/=.*/, '')])
})

test('/series returns the series from reporting', async () => {
  const { app, calls } = setUp({ series: { status: 200, body: series } })
  const query = 'assetId=456&step=day&from=2026-11-20T00:00:00Z'
  expect(await (await app.request(`/series?${query}`)).json()).toEqual(series)
  expect(calls).toEqual([{ path: `/events/series?${query.replaceAll(':', '%3A')}` }])
})

test('requests for the same series within a second share one call, even if the call fails', async () => {
  for (const series of [{ status: 200, body: {} }, new UpstreamError('down')]) {
    const { app, calls } = setUp({ series })
    await Promise.all(Array.from({ length: 20 }, () => app.request('/series?step=minute')))
    await app.request('/series?step=minute')
    expect(calls).toHaveLength(1)
    await app.request('/series?step=day')
    expect(calls).toHaveLength(2)
  }
})

test('/series calls reporting again after a second', async () => {
  const { app, calls } = setUp({ series: { status: 200, body: series } })
  await app.request('/series')
  await sleep(1_050)
  await app.request('/series')
  expect(calls).toHaveLength(2)
})

test.each([
  ['is down or behind the log', new UpstreamError('down')],
  ['responds with invalid data', { status: 200, body: { points: [{}] } }],
])('/series returns 503 while reporting %s', async (_, series) => {
  await expectProblem(await setUp({ series }).app.request('/series'), 503)
})

test.each(['step=second', 'step=minute&assetId=1', 'from=now'])(
  '/series?%s returns 400 without calling reporting',
  async (query) => {
    const { app, calls } = setUp()
    expect((await app.request(`/series?${query}`)).status).toBe(400)
    expect(calls).toEqual([])
  },
)

test('/series returns 400 if reporting rejects the range', async () => {
  const body = { status: 'Invalid request', errors: [{ path: 'from', message: 'too early' }], requestId: '1' }
  await expectProblem(await setUp({ series: { status: 400, body } }).app.request('/series'), 400, ['from'])
})

test('/series serves up to 50 concurrent requests, and rejects the rest with 503', async () => {
  const { app } = setUp({ series: { status: 200, body: series } })
  const responses = await Promise.all(Array.from({ length: 60 }, () => app.request('/series')))
  expect(responses.filter(({ status }) => status === 200)).toHaveLength(50)
})

const emptyHistory = {
  step: 1,
  now: '2026-11-20T21:00:00.000Z',
  since: null,
  services: [],
  points: [],
  outages: [],
  restarts: [],
}

test('/history returns 400 for an unknown range', async () => {
  const { app } = setUp()
  expect((await app.request('/history?range=24h')).status).toBe(200)
  await expectProblem(await app.request('/history?range=1y'), 400, ['range'])
})

test('/status returns the state of every component', async () => {
  const { app } = setUp({ backlog: () => 3 })
  expect(await (await app.request('/status')).json()).toEqual({
    status: 'ready',
    degraded: [],
    parts: {
      play: { state: 'up' },
      metadata: { state: 'up', circuit: 'closed' },
      outbox: { state: 'up', waiting: 3 },
      events: { state: 'up' },
      'queue-listener': { state: 'up' },
    },
    changes: 0,
    audit: null,
  })
})

test('/status includes the audit while the counts are current', async () => {
  const { app, audits } = setUp({ services: { reporting: [current] }, audit })
  expect(await (await app.request('/status')).json()).toMatchObject({ status: 'ready', audit })
  expect(audits()).toBe(1)
})

test('/status includes the audit even if there are more verdicts than views', async () => {
  const wrong = { ...audit, qualified: 8, pending: -1 }
  const { app } = setUp({ services: { reporting: [current] }, audit: wrong })
  expect(await (await app.request('/status')).json()).toMatchObject({ audit: wrong })
})

test.each(['replaying', 'behind', 'unknown'] as const)(
  '/status does not request the audit while the counts are %s',
  async (state) => {
    const counting = { state, progress: 0.4 }
    const { app, audits } = setUp({ services: { reporting: [{ ...ready, counting }] }, audit })
    expect(await (await app.request('/status')).json()).toMatchObject({ audit: null })
    expect(audits()).toBe(0)
  },
)

test.each([
  ['responds with something other than an audit', { status: 'Not found', requestId: '1' }],
  ['does not respond', undefined],
])('/status is ready, but has no audit, if reporting %s', async (_, audit) => {
  const { app, audits } = setUp({ services: { reporting: [current] }, audit })
  expect(await (await app.request('/status')).json()).toMatchObject({ status: 'ready', audit: null })
  expect(audits()).toBe(1)
})

test('/status waits at most 200 ms for the audit', async () => {
  const { app } = setUp({ services: { reporting: [current] }, audit: 'hangs' })
  const startedAt = runningTime()
  expect(await (await app.request('/status')).json()).toMatchObject({ status: 'ready', audit: null })
  expect(runningTime() - startedAt).toBeLessThan(400)
})

test('/status reports dependencies that are down as degraded', async () => {
  const dependencies = { nats: 'down', outbox: 'up', metadata: 'down', cdnurl: 'up' } as const
  const { app } = setUp({ readiness: { status: 'ready', dependencies } })
  expect(await (await app.request('/status')).json()).toMatchObject({
    status: 'degraded',
    degraded: ['metadata', 'events'],
    parts: { metadata: { state: 'down' }, events: { state: 'down' } },
  })
})

test('/status is degraded while queue-listener is down, and not ready while the edge is not ready', async () => {
  const withoutListener = setUp({ listener: [undefined] })
  expect(await (await withoutListener.app.request('/status')).json()).toMatchObject({
    status: 'degraded',
    degraded: [],
  })
  const { app } = setUp({ readiness: { status: 'not ready', dependencies: { nats: 'down', outbox: 'down' } } })
  expect(await (await app.request('/status')).json()).toMatchObject({ status: 'not ready', degraded: ['events'] })
})

test('/status shows that reporting is replaying the log, and that plays have no counts in the meantime', async () => {
  const counting = { state: 'replaying', progress: 0.4 } as const
  const { app } = setUp({ services: { reporting: [{ ...ready, counting }] } })
  expect(await (await app.request('/status')).json()).toMatchObject({
    status: 'degraded',
    degraded: ['reporting'],
    parts: { reporting: { state: 'degraded', counting } },
  })
})

test('/status reports the counts as current only if they are current in every reporting instance', async () => {
  const counting = { state: 'unknown', progress: 0 } as const
  const { app } = setUp({ services: { reporting: [current, { ...ready, counting }] } })
  expect(await (await app.request('/status')).json()).toMatchObject({
    status: 'degraded',
    degraded: ['reporting'],
    parts: { reporting: { state: 'degraded', counting } },
  })
})

test('/status says why queue-listener is stalled', async () => {
  const forwarding = { state: 'stalled', waiting: 0, reason: 'the log no longer has 7 messages' } as const
  const { app } = setUp({ listener: [ready, { ...ready, status: 'degraded', forwarding }] })
  expect(await (await app.request('/status')).json()).toMatchObject({
    status: 'degraded',
    parts: { 'queue-listener': { state: 'degraded', stalled: true, reason: forwarding.reason } },
  })
})

test('/status is degraded while queue-listener is stalled', async () => {
  const forwarding = { state: 'stalled', waiting: 7 } as const
  const { app } = setUp({ listener: [{ ...ready, status: 'degraded', forwarding }] })
  expect(await (await app.request('/status')).json()).toMatchObject({
    status: 'degraded',
    degraded: [],
    parts: { 'queue-listener': { state: 'degraded', waiting: 7, stalled: true } },
  })
})

test.each([
  ['up', [true, true], 'ready'],
  ['degraded', [true, false], 'degraded'],
  ['down', [false, false], 'degraded'],
])("/status lists a service's instances, and reports the service as %s", async (state, areUp, status) => {
  const cdnurl = areUp.map((isUp) => (isUp ? ready : undefined))
  const { app } = setUp({ services: { cdnurl } })
  const instances = cdnurl.map((readiness, n) => ({ url: `http://127.0.0.1:${n}`, state: readiness ? 'up' : 'down' }))
  const degraded = state === 'down' ? ['cdnurl'] : []
  expect(await (await app.request('/status')).json()).toMatchObject({
    status,
    degraded,
    parts: { cdnurl: { state, instances } },
  })
})

test("/status lists play's instances only if there is more than one", async () => {
  const multiple = setUp({ services: { play: [ready, undefined] } })
  expect(await (await multiple.app.request('/status')).json()).toMatchObject({
    status: 'degraded',
    parts: { play: { state: 'degraded', instances: [{ state: 'up' }, { state: 'down' }] } },
  })
  for (const play of [[], [ready]]) {
    const { parts } = SystemStatus.parse(await (await setUp({ services: { play } }).app.request('/status')).json())
    expect(parts.play).toEqual({ state: 'up' })
  }
})

test('/status omits the size of the outbox if the disk fails', async () => {
  const { app } = setUp({
    backlog: () => {
      throw new Error('disk I/O error')
    },
  })
  expect(await (await app.request('/status')).json()).toMatchObject({ parts: { outbox: { state: 'up' } } })
})

test('concurrent status requests share one check', async () => {
  const { app, checks } = setUp()
  await Promise.all(Array.from({ length: 100 }, () => app.request('/status')))
  expect(checks()).toBe(1)
})

test('/status counts asset invalidations', async () => {
  const { app, invalidations } = setUp()
  invalidations.publish({ service: 'metadata', id: '123' })
  expect(await (await app.request('/status')).json()).toMatchObject({ changes: 1 })
})

test('openapi.json documents the page and its routes', async () => {
  expect(await (await setUp().app.request('/openapi.json')).json()).toMatchObject({
    paths: {
      '/': { get: { responses: { 200: { content: { 'text/html': {} } } } } },
      '/catalogue': { get: { responses: { 200: {}, 400: {}, 503: {} } } },
      '/series': { get: { responses: { 200: {}, 400: {}, 503: {} } } },
      '/status': { get: { responses: { 200: {} } } },
    },
  })
})

const ready: Readiness = {
  status: 'ready',
  dependencies: { nats: 'up', outbox: 'up', metadata: 'up' },
  circuits: { metadata: 'closed' },
}

const series: Series = {
  step: 'day',
  since: null,
  points: [{ at: '2026-11-20T00:00:00.000Z', views: 3, qualified: 2 }],
}

const current: Readiness = { ...ready, counting: { state: 'current', progress: 1 } }

const audit: Audit = {
  views: 10,
  qualified: 7,
  pending: 0,
  notQualified: { repeat: 2 },
  direct: 1,
  retried: 1,
  rejected: 0,
  position: { stream: 's', sequence: 42 },
  waiting: 0,
}

type Fakes = {
  /** reporting's response to a request for the audit; undefined if reporting does not respond. */
  audit?: unknown
  /** The assets in metadata; undefined if metadata is down. */
  list?: unknown
  /** The counts in reporting; undefined if reporting is down. */
  counts?: Pick<LookedUpCounts, 'assets' | 'qualified' | 'viewers'>
  /** reporting's response to a request for a series, or the error that the call throws. */
  series?: ServiceResponse | UpstreamError
  readiness?: Readiness
  /** The readiness of each queue-listener instance; undefined for an instance that is down. */
  listener?: (Readiness | undefined)[]
  /** The readiness of each instance of the other services. */
  services?: Record<string, (Readiness | undefined)[]>
  backlog?: () => number
  cdnOrigin?: string | undefined
}

function setUp(fakes: Fakes = {}) {
  const {
    list,
    counts,
    series = new UpstreamError('down'),
    audit,
    readiness = ready,
    listener = [ready],
    services = {},
    backlog = () => 0,
    cdnOrigin,
  } = fakes
  const service = createTestService('play')
  const invalidations = createLocalInvalidations()
  const calls: unknown[] = []
  let checks = 0
  let audits = 0
  const respond = (body: unknown): Promise<ServiceResponse> =>
    body ? Promise.resolve({ status: 200, body }) : Promise.reject(new UpstreamError('down'))
  const catalogue = createCatalogue({
    ...service,
    metadata: {
      get(path) {
        calls.push({ path })
        return respond(list)
      },
    },
    reporting: {
      post(path, body, { idempotent }) {
        calls.push({ path, body, idempotent })
        return respond(counts && { ...counts, users: {} })
      },
    },
  })
  const readSeries = createSeriesReader({
    reporting: {
      get(path) {
        calls.push({ path })
        return series instanceof UpstreamError ? Promise.reject(series) : Promise.resolve(series)
      },
    },
  })
  const status = createStatus({
    health: {
      async readiness() {
        checks += 1
        return readiness
      },
    },
    clients: Object.entries({ ...services, 'queue-listener': listener }).map(([name, instances]) => ({
      name,
      instances: async () => instances.map((readiness, n) => ({ url: `http://127.0.0.1:${n}`, readiness })),
      get(path, { signal }) {
        expect([name, path]).toEqual(['reporting', '/events/audit'])
        audits += 1
        return audit === 'hangs' ? untilAborted(signal) : respond(audit)
      },
    })),
    invalidations,
    backlog,
  })
  const app: Hono<AppEnv> = createBaseApp(service).route(
    '/',
    createConsole({
      catalogue,
      readSeries,
      status,
      history: { read: async (range) => ({ ...emptyHistory, range }) },
      clients: {},
      cdnOrigin,
    }),
  )
  return { app, calls, invalidations, checks: () => checks, audits: () => audits }
}

function untilAborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => signal.addEventListener('abort', () => reject(new UpstreamError('timed out'))))
}
