import { createServer } from 'node:http'
import { Client } from 'undici'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { eventually } from './harness/eventually.ts'
import { gatewayConfig, startGateway } from './harness/gateway.ts'
import { playAs } from './harness/keyed-plays.ts'
import { subscribeLive } from './harness/live-subscriber.ts'
import { natsVersion } from './harness/nats-server.ts'
import { hasNginx } from './harness/nginx.ts'
import { views, warmUp } from './harness/plays.ts'
import { freePort } from './harness/ports.ts'
import { type ScriptedPlay, startScriptedPlay } from './harness/scripted-play.ts'
import { type ServiceProcess, startService } from './harness/service-process.ts'
import { type System, startSystem } from './harness/system.ts'

const PLAY = '/play/asset/456/user/8'
const KEY = { 'idempotency-key': '"8e03978e"' }

/** `times` is the number of play instances that receive the request if the first one fails. */
const REPEATED = [
  { what: 'a GET', method: 'GET', path: '/catalogue', headers: {}, times: 2 },
  { what: 'a play with an Idempotency-Key', method: 'POST', path: PLAY, headers: KEY, times: 2 },
  { what: 'a watch-time report', method: 'POST', path: '/play/watched/8e03978e', headers: {}, times: 2 },
  { what: 'a play without a key', method: 'POST', path: PLAY, headers: {}, times: 1 },
  {
    what: 'a play disguised as a report',
    method: 'POST',
    path: `/play/watched/..${PLAY.slice(5)}`,
    headers: {},
    times: 1,
  },
] as const

/** nginx resolves these paths to `/play/watched/8`, `/views/b/status` and `/views/b/traces`, but play does not. */
const AMBIGUOUS = [
  ['POST', '/play/asset/456/user/..%2f..%2f..%2fwatched%2fx/../8'],
  ['GET', '/views/b%2fc%2fd/../../status'],
  ['GET', '/views/b%2Fc%2Fd/../../traces?limit=1'],
] as const

describe.skipIf(!hasNginx)('with nginx in front of two play instances,', () => {
  describe.each(['close', 'hang'] as const)(
    'if the first instance that gets a request makes the connection %s,',
    (failure) => {
      test.each(REPEATED)('$what reaches $times of the two instances', async ({ method, path, headers, times }) => {
        const outcomes = [failure]
        const failOnce = () => outcomes.pop()
        await using stack = new AsyncDisposableStack()
        const plays = [
          stack.use(await startScriptedPlay(failOnce)),
          stack.use(await startScriptedPlay(failOnce)),
        ] as const
        await using gateway = await startGateway([plays[0].url, plays[1].url], {
          'proxy_read_timeout 5s': 'proxy_read_timeout 1s',
        })
        const { statusCode } = await send(gateway.url, path, { method, headers })
        const failed = failure === 'close' ? 502 : 504
        expect(statusCode).toBe(times === 2 ? 200 : failed)
        const received = plays.map(({ requests }) => requests.length)
        expect(received.toSorted()).toEqual(times === 2 ? [1, 1] : [0, 1])
      })
    },
  )

  test("while both instances close every connection, each request gets a 502 in play's error format", async () => {
    await using stack = new AsyncDisposableStack()
    const start = async () => stack.use(await startScriptedPlay(() => 'close')).url
    await using gateway = await startGateway([await start(), await start()])
    for (const { what, method, path, headers } of REPEATED) {
      const response = await send(gateway.url, path, { method, headers })
      expect([what, response.statusCode, response.headers['content-type']]).toEqual([what, 502, 'application/json'])
      expect(JSON.parse(response.text)).toEqual({ status: 'Bad gateway', requestId: expect.any(String) })
    }
  })

  describe('while one of the instances is down,', () => {
    let gateway: Awaited<ReturnType<typeof startGateway>>
    let alive: ScriptedPlay
    beforeAll(async () => {
      alive = await startScriptedPlay()
      gateway = await startGateway([`http://127.0.0.1:${await freePort()}`, alive.url])
    })
    afterAll(async () => {
      await gateway[Symbol.asyncDispose]()
      await alive[Symbol.asyncDispose]()
    })

    const call = (path: string, options: SendOptions = {}) => send(gateway.url, path, options)
    const last = () => alive.requests.at(-1)

    test('every request is sent once, to the instance that is up', async () => {
      for (let n = 1; n <= 5; n += 1) {
        expect((await call(PLAY, { method: 'POST' })).statusCode).toBe(200)
        expect(alive.requests.length).toBe(n)
      }
    })

    test("nginx appends the client's address, drops the trace context, and replaces the request id", async () => {
      const headers = {
        'x-forwarded-for': '203.0.113.9',
        traceparent: `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`,
        'x-request-id': 'mine',
      }
      await call('/catalogue', { headers })
      expect(last()?.headers).toMatchObject({ 'x-forwarded-for': '203.0.113.9, 127.0.0.1', host: 'localhost' })
      expect(last()?.headers['x-request-id']).toMatch(/^[\da-f]{32}$/)
      expect(last()?.headers.traceparent).toBeUndefined()
    })

    test('connections are kept open', async () => {
      const before = alive.connections()
      for (let n = 0; n < 10; n += 1) await call('/catalogue')
      expect(alive.connections() - before).toBeLessThanOrEqual(1)
    })

    test('only the public paths reach play', async () => {
      const before = alive.requests.length
      for (const path of ['/', '/status', '/metrics', '/docs', '/healthz', '/play', '/livex', '/views']) {
        const { statusCode, text } = await call(path)
        expect(statusCode, path).toBe(404)
        expect(JSON.parse(text)).toEqual({ status: 'Not found', requestId: expect.any(String) })
      }
      expect(alive.requests.length).toBe(before)
    })

    test.each(AMBIGUOUS)(
      '%s %s, which nginx and play resolve to different paths, does not reach play',
      async (method, path) => {
        const before = alive.requests.length
        expect((await call(path, { method })).statusCode).toBe(404)
        expect(alive.requests.length).toBe(before)
      },
    )

    test('an encoded slash in the query reaches play', async () => {
      expect((await call('/catalogue?after=a%2fb')).statusCode).toBe(200)
    })

    test("a body over 64 KiB gets a 413 in play's error format, and does not reach play", async () => {
      const before = alive.requests.length
      const { statusCode, headers, text } = await call(PLAY, { method: 'POST', body: 'x'.repeat(65_537) })
      expect({ statusCode, retryAfter: headers['retry-after'] }).toEqual({ statusCode: 413, retryAfter: undefined })
      expect(JSON.parse(text)).toEqual({ status: 'Content too large', requestId: expect.any(String) })
      expect(alive.requests.length).toBe(before)
    })

    test.each([
      ['a header over 16 KiB', 431, 'Headers too large', { headers: { 'x-long': 'x'.repeat(16_400) } }],
      ['a method that nginx refuses', 405, 'Method not allowed', { method: 'TRACE' }],
    ])("%s gets a %i in play's error format", async (_, status, reason, options) => {
      const { statusCode, headers, text } = await call(PLAY, options)
      expect([statusCode, headers['content-type']]).toEqual([status, 'application/json'])
      expect(JSON.parse(text)).toEqual({ status: reason, requestId: expect.any(String) })
    })

    test('a long header that play accepts reaches play', async () => {
      const headers = { authorization: `Bearer ${'x'.repeat(12_000)}` }
      expect((await call(PLAY, { method: 'POST', headers })).statusCode).toBe(200)
    })

    test('a request for another host name is refused', async () => {
      await expect(call('/catalogue', { headers: { host: 'rebound.example' } })).rejects.toThrow()
    })
  })

  describe('while both instances hang,', () => {
    const stack = new AsyncDisposableStack()
    let gateway: Awaited<ReturnType<typeof startGateway>>
    let plays: [ScriptedPlay, ScriptedPlay]
    beforeAll(async () => {
      const start = async () => stack.use(await startScriptedPlay(() => 'hang'))
      plays = [await start(), await start()]
      gateway = stack.use(
        await startGateway([plays[0].url, plays[1].url], {
          'proxy_read_timeout 5s': 'proxy_read_timeout 1s',
          'limit_conn clients 100': 'limit_conn clients 2',
        }),
      )
    })
    afterAll(() => stack.disposeAsync())

    const received = () => plays.flatMap(({ requests }) => requests.filter(({ url }) => url === '/live')).length
    /** Resolves once the play instances have received `count` subscriptions in total. */
    async function subscribe(count: number) {
      const subscription = { hasEnded: false, ended: send(gateway.url, '/live').catch(() => undefined) }
      void subscription.ended.then(() => (subscription.hasEnded = true))
      await eventually(() => expect(received()).toBe(count))
      return subscription
    }

    test('a request gets a 504, a subscription to live counts stays open, and a client with too many connections gets a 429', async () => {
      const first = await subscribe(1)
      const late = await send(gateway.url, '/catalogue')
      expect([late.statusCode, first.hasEnded]).toEqual([504, false])
      const second = await subscribe(2)
      const { statusCode, headers, text } = await send(gateway.url, '/catalogue')
      expect([statusCode, headers['retry-after'], second.hasEnded]).toEqual([429, '1', false])
      expect(JSON.parse(text)).toEqual({ status: 'Too many requests', requestId: expect.any(String) })
      expect([late.headers['retry-after'], JSON.parse(late.text).status]).toEqual([undefined, 'Gateway timeout'])
    })
  })

  test('nginx closes idle connections before play does', () => {
    const [, seconds] = /^ {2}keepalive_timeout (\d+)s;$/m.exec(gatewayConfig) ?? []
    expect(Number(seconds)).toBeGreaterThan(0)
    expect(Number(seconds) * 1_000).toBeLessThan(createServer().keepAliveTimeout)
  })

  describe.skipIf(!natsVersion)('with a real system behind both instances,', () => {
    let system: System
    let second: ServiceProcess & AsyncDisposable
    let gateway: Awaited<ReturnType<typeof startGateway>>
    const stack = new AsyncDisposableStack()
    beforeAll(async () => {
      system = stack.use(await startSystem({ TRUSTED_PROXIES: '127.0.0.1' }))
      second = stack.use(await startService('play', system.env)) as typeof second
      gateway = stack.use(await startGateway([system.play.url, second.url]))
      for (const edge of [system.play, second]) await warmUp(edge.url)
    })
    afterAll(() => stack.disposeAsync())

    test('live counts arrive as they change', async () => {
      await using viewer = await subscribeLive(`${gateway.url}/live`)
      await eventually(() => expect(viewer.seen()).toBeDefined())
      expect((await playAs(gateway.url, 'live', {})).status).toBe(200)
      await eventually(() => expect(viewer.seen()?.users).toContainEqual({ id: 'live', views: 1 }))
      expect(viewer.hasEnded()).toBe(false)
    })

    test('if one play process is killed under load, all plays with a key succeed, and every view is counted once', async () => {
      const workers = 16
      const statuses = { keyed: [] as number[], plain: [] as number[] }
      const stopped = new AbortController()
      const work = Array.from({ length: workers }, async (_, worker) => {
        for (let n = 0; !stopped.signal.aborted; n += 1) {
          const isKeyed = worker % 2 === 0
          const key = isKeyed ? { key: `${worker}-${n}` } : {}
          const { status } = await playAs(gateway.url, isKeyed ? 'keyed' : 'plain', key)
          statuses[isKeyed ? 'keyed' : 'plain'].push(status)
        }
      })
      const served = () => Math.min(statuses.keyed.length, statuses.plain.length)
      await eventually(() => expect(served()).toBeGreaterThan(100))
      await second.signal('SIGKILL')
      const atKill = served()
      await eventually(() => expect(served()).toBeGreaterThan(atKill + 100))
      // After the restart, this instance drains its outbox.
      await second.start()
      const atStart = served()
      await eventually(() => expect(served()).toBeGreaterThan(atStart + 100))
      stopped.abort()
      await Promise.all(work)

      expect(new Set(statuses.keyed)).toEqual(new Set([200]))
      const succeeded = statuses.plain.filter((status) => status === 200).length
      const unknown = statuses.plain.filter((status) => status === 502).length
      expect(succeeded + unknown).toBe(statuses.plain.length)
      expect(unknown).toBeLessThanOrEqual(workers)
      await eventually(async () => {
        expect(await views(system.reporting.url, 'user', 'keyed')).toBe(statuses.keyed.length)
        const count = await views(system.reporting.url, 'user', 'plain')
        expect(count).toBeGreaterThanOrEqual(succeeded)
        expect(count).toBeLessThanOrEqual(succeeded + unknown)
      })
    })
  })
})

type SendOptions = { method?: string; headers?: Record<string, string>; body?: string }

/** Sends a request without changing its path, because fetch would resolve `..`. */
async function send(origin: string, path: string, { method = 'GET', ...options }: SendOptions = {}) {
  await using stack = new AsyncDisposableStack()
  const client = stack.adopt(new Client(origin), (client) => client.destroy())
  const { statusCode, headers, body } = await client.request({ path, method, ...options })
  return { statusCode, headers, text: await body.text() }
}
