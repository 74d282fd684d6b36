import { mkdtempSync, rmSync } from 'node:fs'
import type { ServerResponse } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import verifier from '../deploy/cdn/verify.js'
import { serviceEntries } from '../services.ts'
import type { Invalidations } from '../shared/catalogue/invalidations.ts'
import { discoverySettings } from '../shared/discovery/settings.ts'
import type { EventLog, NewView, Producer } from '../shared/event-log/event-log.ts'
import { createSqliteEventLog } from '../shared/event-log/sqlite-event-log.ts'
import { host, loadSettings, logLevel, port } from '../shared/runtime/settings.ts'
import { startHttpServer } from '../shared/testing/http-server.ts'
import { createTestService } from '../shared/testing/test-service.ts'
import { tracingSettings } from '../shared/tracing/settings.ts'
import { eventually } from '../tests/harness/eventually.ts'
import { runningTime } from '../tests/harness/running-time.ts'
import { createOutbox, type Outbox } from './outbox.ts'
import { startPlay } from './service.ts'
import { playSettings } from './settings.ts'

const content = { id: 'a', title: 'Alien', genre: 'horror', summary: '' }
const paths = { metadata: '/content/asset/a', cdnurl: '/url/asset/a' } as const
const owners = ['metadata', 'cdnurl'] as const

let stack: AsyncDisposableStack
beforeEach(() => {
  stack = new AsyncDisposableStack()
})
afterEach(() => stack.disposeAsync())

test('a play returns the data from all upstreams, and its view is in the log', async () => {
  const { play, appended } = await start()
  expect(await play()).toEqual([200, { ...content, url: 'path/to/a.mp4', userviews: 3, assetviews: 8 }])
  expect(appended()).toMatchObject([{ assetId: 'a', userId: 'u' }])
})

describe("an asset's cached data is reloaded", () => {
  test('only from the service that invalidated it', async () => {
    const { play, invalidate, requests } = await start()
    await play()
    invalidate({ service: 'metadata', id: 'a' })
    invalidate({ service: 'cdnurl', id: 'b' })
    await play()
    expect([requests(paths.metadata), requests(paths.cdnurl)]).toEqual([2, 1])
    invalidate({ service: 'cdnurl', id: 'a' })
    await play()
    expect([requests(paths.metadata), requests(paths.cdnurl)]).toEqual([2, 2])
  })

  test('from both services if invalidations may have been missed', async () => {
    const { play, reportGap, requests } = await start()
    await play()
    reportGap()
    await play()
    expect([requests(paths.metadata), requests(paths.cdnurl)]).toEqual([2, 2])
  })

  test.each(['reporting', 'constructor'])('from neither service if %s publishes an invalidation', async (service) => {
    const { play, invalidate, requests } = await start()
    await play()
    invalidate({ service, id: 'a' })
    await play()
    expect([requests(paths.metadata), requests(paths.cdnurl)]).toEqual([1, 1])
  })
})

describe.each(owners)('while %s does not respond', (owner) => {
  test('a play is served with the cached data within a second', async () => {
    const { play, handlers, reportGap } = await start()
    await play()
    handlers[paths[owner]] = () => undefined
    reportGap()
    const started = runningTime()
    expect(await play()).toMatchObject([200, { ...content, url: 'path/to/a.mp4', degraded: [owner] }])
    expect(runningTime() - started).toBeLessThan(1_000)
  })

  test('a play of an uncached asset returns 503', async () => {
    const { play, handlers, appended } = await start()
    handlers[paths[owner]] = (response) => response.destroy()
    expect(await play()).toMatchObject([503, {}])
    expect(appended()).toEqual([])
  })

  test('its circuit opens after repeated failures, and calls to it stop', async () => {
    const { play, handlers, request, requests } = await start()
    handlers[paths[owner]] = (response) => response.writeHead(500).end()
    for (let plays = 0; plays < 20; plays += 1) await play()
    expect(requests(paths[owner])).toBeLessThan(20)
    expect(await request('/readyz')).toMatchObject([200, { status: 'ready', circuits: { [owner]: 'open' } }])
  })
})

test('while reporting is down, a play has no counts', async () => {
  const { play, handlers } = await start()
  handlers['/events/lookup'] = (response) => response.destroy()
  expect(await play()).toMatchObject([200, { userviews: null, assetviews: null, degraded: ['reporting'] }])
})

test('failed requests for series do not affect the counts of plays', async () => {
  const { play, request } = await start()
  const ids = Array.from({ length: 20 }, (_, n) => `asset-${n}`)
  for (const id of ids) expect(await request(`/series?assetId=${id}`)).toMatchObject([503, {}])
  expect(await play()).toMatchObject([200, { userviews: 3, assetviews: 8 }])
})

describe('while the log is unavailable', () => {
  const failing: Producer = { id: 'p', append: () => Promise.reject(new Error('no connection')) }

  test('a play returns 503 if there is no outbox', async () => {
    const { play } = await start({ producer: () => failing })
    expect(await play()).toMatchObject([503, {}])
  })

  test('a view goes to the outbox if there is one', async () => {
    const outbox = openOutbox()
    const { play, request } = await start({ producer: () => failing }, outbox)
    expect(await play()).toMatchObject([200, { degraded: ['events'] }])
    expect(outbox.size()).toBe(1)
    expect(await request('/status')).toMatchObject([200, { parts: { outbox: { state: 'up', waiting: 1 } } }])
    expect(await request('/metrics')).toMatchObject([200, expect.stringContaining('outbox_waiting_views 1\n')])
  })
})

test('a view that this process recorded is found while neither reporting nor the log responds', async () => {
  const { url, request } = await start({ find: () => Promise.reject(new Error('no connection')) })
  const { headers } = await fetch(`${url}/play/asset/a/user/u`, { method: 'POST' })
  const id = headers.get('view-id')
  expect(await request(`/views/${id}`)).toMatchObject([200, { id, state: 'log', assetId: 'a', userId: 'u' }])
  expect(await request('/views/unknown')).toMatchObject([503, {}])
})

test("the outbox's backlog is drained at startup", async () => {
  const outbox = openOutbox()
  outbox.put('earlier', [{ id: '1', assetId: 'a', userId: 'u', at: '2026-11-20T21:00:00Z' }])
  const { appended } = await start({}, outbox)
  await eventually(() => expect(outbox.size()).toBe(0))
  expect(appended()).toMatchObject([{ id: '1' }])
})

describe('with a CDN', () => {
  const SECRET = 'secret-of-the-first-key'
  const CDN = { CDN_BASE_URL: 'https://cdn.example', CDN_KEYS: `k1:${SECRET},k0:secret-of-the-old-key` }
  const startSigning = (env: Record<string, string> = {}) => start({}, undefined, { ...CDN, ...env })
  const urlOf = ([, body]: unknown[]) => String((body as { url?: unknown }).url)
  const statusAt = (url: string) => verifier.verify(new URL(url).pathname, { k1: SECRET }, Date.now() / 1_000)

  test('a play and a prefetch return a URL that the CDN accepts', async () => {
    const { play, request } = await startSigning()
    const played = urlOf(await play())
    expect(played).toMatch(/^https:\/\/cdn\.example\/k1\/\d{10}\/[\w-]{43}\/path\/to\/a\.mp4$/)
    expect(statusAt(played)).toBe(200)
    const headers = { 'sec-purpose': 'prefetch' }
    expect(urlOf(await request('/play/asset/a/user/u', { method: 'POST', headers }))).toBe(played)
  })

  test('a URL outside CDN_PATHS and an absolute URL are returned unchanged', async () => {
    const { play, handlers, invalidate } = await startSigning({ CDN_PATHS: 'clips/' })
    expect(urlOf(await play())).toBe('path/to/a.mp4')
    handlers[paths.cdnurl] = respond({ id: 'a', url: 'https://other.example/clips/a.mp4' })
    invalidate({ service: 'cdnurl', id: 'a' })
    expect(urlOf(await play())).toBe('https://other.example/clips/a.mp4')
  })

  test('a play after an invalidation returns the new URL', async () => {
    const { play, handlers, invalidate } = await startSigning()
    await play()
    handlers[paths.cdnurl] = respond({ id: 'a', url: 'clips/a/index.m3u8' })
    invalidate({ service: 'cdnurl', id: 'a' })
    const url = urlOf(await play())
    expect(url).toContain('/clips/a/index.m3u8')
    expect(statusAt(url.replace('index.m3u8', '360p/seg1.ts'))).toBe(200)
  })

  test('a cached asset and a retry of its play get a new URL before the old one expires', async () => {
    const { url, appended } = await startSigning({ CDN_URL_TTL: '1s' })
    const headers = { 'idempotency-key': '"key-of-the-play"' }
    const retry = async () => {
      const response = await fetch(`${url}/play/asset/a/user/u`, { method: 'POST', headers })
      return { url: urlOf([response.status, await response.json()]), viewId: response.headers.get('view-id') }
    }
    const first = await retry()
    await eventually(async () => expect((await retry()).url).not.toBe(first.url))
    const last = await retry()
    expect([statusAt(last.url), last.viewId]).toEqual([200, first.viewId])
    expect(appended().length).toBe(1)
  })

  describe('and a stored URL that cannot be signed', () => {
    const unsignable = respond({ id: 'a', url: 'path/../a.mp4' })

    test('a play of that asset returns 503 and records no view, and other assets can be played', async () => {
      const { play, request, handlers, appended } = await startSigning()
      handlers[paths.cdnurl] = unsignable
      handlers['/content/asset/b'] = respond({ ...content, id: 'b' })
      handlers['/url/asset/b'] = respond({ id: 'b', url: 'path/to/b.mp4' })
      expect(await play()).toMatchObject([503, {}])
      expect(appended()).toEqual([])
      expect(await request('/play/asset/b/user/u', { method: 'POST' })).toMatchObject([200, { id: 'b' }])
      expect(await request('/readyz')).toMatchObject([200, { circuits: { cdnurl: 'closed' } }])
    })

    test('a play returns the previous URL, degraded, until the stored URL is corrected', async () => {
      const { play, handlers, invalidate } = await startSigning()
      const former = urlOf(await play())
      handlers[paths.cdnurl] = unsignable
      invalidate({ service: 'cdnurl', id: 'a' })
      expect(await play()).toMatchObject([200, { url: former, degraded: ['cdnurl'] }])
      handlers[paths.cdnurl] = respond({ id: 'a', url: 'path/to/b.mp4' })
      invalidate({ service: 'cdnurl', id: 'a' })
      expect(urlOf(await play())).toContain('/path/to/b.mp4')
    })
  })
})

test('without a CDN, a play returns the stored URL, even one that cannot be signed', async () => {
  const { play, handlers } = await start()
  handlers[paths.cdnurl] = respond({ id: 'a', url: 'path/../a.mp4' })
  expect(await play()).toMatchObject([200, { url: 'path/../a.mp4' }])
})

describe('readiness', () => {
  const down = () => 'down' as const

  test('contains the state of each dependency and circuit', async () => {
    const { request } = await start({}, openOutbox())
    expect(await request('/readyz')).toEqual([
      200,
      {
        status: 'ready',
        dependencies: { events: 'up', outbox: 'up', metadata: 'up', cdnurl: 'up', reporting: 'up' },
        circuits: { metadata: 'closed', cdnurl: 'closed', reporting: 'closed' },
        startedAt: expect.any(String),
      },
    ])
  })

  test('requires the log, unless the outbox works', async () => {
    expect(await (await start({ state: down })).request('/readyz')).toMatchObject([503, { status: 'not ready' }])
    const outbox = openOutbox()
    expect(await (await start({ state: down }, outbox)).request('/readyz')).toMatchObject([200, { status: 'ready' }])
    const broken: Outbox = { ...outbox, state: down }
    expect(await (await start({ state: down }, broken)).request('/readyz')).toMatchObject([
      503,
      { status: 'not ready' },
    ])
  })
})

type Handler = (response: ServerResponse) => unknown

/** The play service with a fake server for all upstreams, and an in-memory log. */
async function start(eventLogOverrides: Partial<EventLog> = {}, outbox?: Outbox, env: Record<string, string> = {}) {
  const handlers: Record<string, Handler> = {
    [paths.metadata]: respond(content),
    [paths.cdnurl]: respond({ id: 'a', url: 'path/to/a.mp4' }),
    '/events/lookup': respond({ assets: { a: 7 }, users: { u: 2 } }),
    '/healthz': respond({ status: 'ok' }),
  }
  const { origin, requests } = await serveUpstreams(handlers)
  const service = createTestService('play')
  stack.use(service.resources)
  const { log } = service
  const memory = stack.use(createSqliteEventLog({ file: ':memory:', log }))
  const appended: NewView[] = []
  const eventLog: EventLog = {
    ...memory,
    producer(source, id) {
      const producer = memory.producer(source, id)
      return {
        ...producer,
        async append(views, signal) {
          await producer.append(views, signal)
          appended.push(...views)
        },
      }
    },
    ...eventLogOverrides,
  }
  let subscriber: Parameters<Invalidations['subscribe']> | undefined
  const invalidations: Invalidations = {
    publish() {},
    subscribe(...callbacks) {
      // Keep only play's callbacks: play subscribes before the console.
      subscriber ??= callbacks
    },
  }
  const address = await startPlay(service, settingsWith(origin, env), {
    eventLog,
    invalidations,
    ...(outbox && { outbox }),
  })

  async function request(path: string, init?: RequestInit) {
    const response = await fetch(`${address.url}${path}`, init)
    const isJson = response.headers.get('content-type')?.startsWith('application/json')
    return [response.status, isJson ? await response.json() : await response.text()]
  }
  return {
    url: address.url,
    handlers,
    requests,
    request,
    play: () => request('/play/asset/a/user/u', { method: 'POST' }),
    appended: () => appended,
    invalidate: (...invalidation: Parameters<Invalidations['publish']>) => subscriber?.[0](...invalidation),
    reportGap: () => subscriber?.[1](),
  }
}

function settingsWith(origin: string, env: Record<string, string>) {
  const common = { PORT: port(0), HOST: host, LOG_LEVEL: logLevel, ...discoverySettings, ...tracingSettings }
  const urls = Object.fromEntries(serviceEntries.map(({ urlSetting }) => [urlSetting, origin]))
  return loadSettings({ ...common, ...playSettings }, { args: [], env: { ...urls, CATALOGUE_TTL: '1h', ...env } })
}

/** A server with handlers by path, which the test may replace at any time. */
async function serveUpstreams(handlers: Record<string, Handler>) {
  const seen: string[] = []
  const server = await startHttpServer((request, response) => {
    const [path = ''] = request.url?.split('?') ?? []
    seen.push(path)
    const handle = handlers[path] ?? ((response) => response.writeHead(404).end())
    handle(response)
  })
  stack.use(server)
  return {
    origin: server.url,
    requests: (path: string) => seen.filter((url) => url === path).length,
  }
}

function respond(body: object): Handler {
  return (response) => response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(body))
}

function openOutbox(): Outbox {
  const directory = mkdtempSync(join(tmpdir(), 'play-'))
  stack.defer(() => rmSync(directory, { recursive: true, force: true }))
  return stack.use(createOutbox(join(directory, 'outbox.sqlite')))
}
