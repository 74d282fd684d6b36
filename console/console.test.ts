import type { Hono } from 'hono'
import { expect, test } from 'vitest'
import { createLocalInvalidations } from '../shared/catalogue/local-invalidations.ts'
import type { AppEnv } from '../shared/http/app-env.ts'
import { createBaseApp } from '../shared/http/base-app.ts'
import { expectProblem } from '../shared/testing/expect-problem.ts'
import { type Answer, UpstreamError } from '../shared/client/service-client.ts'
import type { DependencyState, Readiness } from '../shared/service/health.ts'
import { createTestService } from '../shared/testing/test-service.ts'
import { createCatalogue } from './catalogue.ts'
import { createConsole } from './console.ts'
import { createStatus } from './status.ts'

const it = { id: '123', title: 'It', genre: 'horror', summary: '' }

test('the page allows no script, style or request but its own, and no markup made of text', async () => {
  const response = await open().app.request('/')
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

test.each([
  ['console.js', 'text/javascript; charset=utf-8'],
  ['console.css', 'text/css; charset=utf-8'],
  ['uplot.js', 'text/javascript; charset=utf-8'],
  ['uplot.css', 'text/css; charset=utf-8'],
  ['icon.svg', 'image/svg+xml'],
])('/console/%s is %s, and sent once for as long as it is the same', async (name, type) => {
  const { app } = open()
  const { status, headers } = await app.request(`/console/${name}`)
  expect([status, headers.get('content-type'), headers.get('x-content-type-options')]).toEqual([200, type, 'nosniff'])
  const again = await app.request(`/console/${name}`, { headers: { 'if-none-match': headers.get('etag') ?? '' } })
  expect([again.status, await again.text()]).toEqual([304, ''])
})

test.each([
  '/console/',
  '/console/tsconfig.json',
  '/console/index.html',
  '/console/..%2Fpage.ts',
  '/console/../page.ts',
])('%s is a 404', async (path) => {
  await expectProblem(await open().app.request(path), 404)
})

test('its routes leave the router one expression for all', async () => {
  const { app } = open()
  await app.request('/console/console.js')
  expect(app.router.name).toBe('SmartRouter + RegExpRouter')
})

test('/catalogue is a page of the assets that metadata lists, with their views', async () => {
  const { app, asked } = open({ list: { assets: [it, { ...it, id: '456' }], next: '456' }, counts: { '123': 7 } })
  expect(await (await app.request('/catalogue?limit=2&after=100')).json()).toEqual({
    assets: [
      { ...it, views: 7 },
      { ...it, id: '456', views: 0 },
    ],
    next: '456',
  })
  expect(asked).toEqual(['/content/assets?limit=2&after=100', { assets: ['123', '456'] }])
})

test('/catalogue has no views while reporting is away, and says so', async () => {
  const { app } = open({ list: { assets: [it], next: null } })
  expect(await (await app.request('/catalogue')).json()).toEqual({
    assets: [{ ...it, views: null }],
    next: null,
    degraded: ['reporting'],
  })
})

test.each([
  ['is away', undefined],
  ['answers what was not agreed', { assets: [{ id: '123' }], next: null }],
])('/catalogue is a 503 while metadata %s', async (_, list) => {
  await expectProblem(await open({ list, counts: {} }).app.request('/catalogue'), 503)
})

test('/catalogue puts together a few pages at once, and is a 503 to who comes meanwhile', async () => {
  const { app } = open({ list: { assets: [it], next: null }, counts: {} })
  const answers = await Promise.all(Array.from({ length: 20 }, () => app.request('/catalogue')))
  const statuses = answers.map(({ status }) => status)
  expect(statuses.filter((status) => status === 200)).toHaveLength(8)
  expect(statuses.filter((status) => status === 503)).toHaveLength(12)
  expect((await app.request('/catalogue')).status).toBe(200)
})

test.each(['limit=0', 'limit=1001', 'limit=x', 'after=a/b'])('/catalogue?%s is a 400', async (query) => {
  await expectProblem(await open().app.request(`/catalogue?${query}`), 400, [query.split('=')[0] as string])
})

test('/status has the state of every part', async () => {
  const { app } = open({ waiting: () => 3 })
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
  })
})

test('/status names what plays do without', async () => {
  const dependencies = { nats: 'down', outbox: 'up', metadata: 'down', cdnurl: 'up' } as const
  const { app } = open({ readiness: { status: 'ready', dependencies } })
  expect(await (await app.request('/status')).json()).toMatchObject({
    status: 'degraded',
    degraded: ['metadata', 'events'],
    parts: { metadata: { state: 'down' }, events: { state: 'down' } },
  })
})

test('/status tells a listener that is away, which no play needs, and an edge that takes no plays', async () => {
  const away = open({ listening: 'down' })
  expect(await (await away.app.request('/status')).json()).toMatchObject({ status: 'degraded', degraded: [] })
  const { app } = open({ readiness: { status: 'not ready', dependencies: { nats: 'down', outbox: 'down' } } })
  expect(await (await app.request('/status')).json()).toMatchObject({ status: 'not ready', degraded: ['events'] })
})

test('/status goes without the size of an outbox whose disk does not say', async () => {
  const { app } = open({
    waiting: () => {
      throw new Error('disk I/O error')
    },
  })
  expect(await (await app.request('/status')).json()).toMatchObject({ parts: { outbox: { state: 'up' } } })
})

test('a hundred who ask for the status at once cost one question', async () => {
  const { app, readinessAsked } = open()
  await Promise.all(Array.from({ length: 100 }, () => app.request('/status')))
  expect(readinessAsked()).toBe(1)
})

test('/status shows that assets have changed', async () => {
  const { app, changes } = open()
  changes.publish({ service: 'metadata', id: '123' })
  expect(await (await app.request('/status')).json()).toMatchObject({ changes: 1 })
})

test('openapi.json has the page and what it asks', async () => {
  expect(await (await open().app.request('/openapi.json')).json()).toMatchObject({
    paths: {
      '/': { get: { responses: { 200: { content: { 'text/html': {} } } } } },
      '/catalogue': { get: { responses: { 200: {}, 400: {}, 503: {} } } },
      '/status': { get: { responses: { 200: {} } } },
    },
  })
})

const ready: Readiness = {
  status: 'ready',
  dependencies: { nats: 'up', outbox: 'up', metadata: 'up' },
  circuits: { metadata: 'closed' },
}

type Fakes = {
  /** What metadata answers; it is away without. */
  list?: unknown
  /** What reporting has counted; it is away without. */
  counts?: Record<string, number>
  readiness?: Readiness
  listening?: DependencyState
  waiting?: () => number
}

function open({ list, counts, readiness = ready, listening = 'up', waiting = () => 0 }: Fakes = {}) {
  const service = createTestService('play')
  const changes = createLocalInvalidations()
  const asked: unknown[] = []
  let readinessAsked = 0
  const answer = (body: unknown): Promise<Answer> =>
    body ? Promise.resolve({ status: 200, body }) : Promise.reject(new UpstreamError('away'))
  const catalogue = createCatalogue({
    ...service,
    metadata: {
      get(path) {
        asked.push(path)
        return answer(list)
      },
    },
    reporting: {
      post(_, body) {
        asked.push(body)
        return answer(counts && { assets: counts, users: {} })
      },
    },
  })
  const status = createStatus({
    health: {
      async readiness() {
        readinessAsked += 1
        return readiness
      },
    },
    listener: { state: async () => listening },
    changes,
    waiting,
  })
  const app: Hono<AppEnv> = createBaseApp(service).route('/', createConsole({ catalogue, status }))
  return { app, asked, changes, readinessAsked: () => readinessAsked }
}
