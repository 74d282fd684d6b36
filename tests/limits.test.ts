import { once } from 'node:events'
import { type IncomingHttpHeaders, request } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type Services, startEmbedded } from './harness/embedded.ts'
import { eventually } from './harness/eventually.ts'
import { hasNginx, startNginx } from './harness/nginx.ts'
import { getJson, metric, play, views } from './harness/plays.ts'
import { repeatAfterPause } from './harness/running-time.ts'

const PLAY = '/play/asset/456/user/8'
/** Trusts 127.0.0.1 as a proxy, so that the tests can set the client address in X-Forwarded-For. */
const BEHIND_PROXY = { TRUSTED_PROXIES: '127.0.0.1' }

type Edge = Awaited<ReturnType<typeof startEmbedded>>
type Sent = { method?: string; from?: string; headers?: Record<string, string> }

let stack: AsyncDisposableStack
beforeEach(() => {
  stack = new AsyncDisposableStack()
})
afterEach(() => stack.disposeAsync())

const start = async (settings: Record<string, string>): Promise<Edge> => stack.use(await startEmbedded(settings))

/** @param from the local address of the connection: on Linux, all of 127.0.0.0/8 are addresses of this machine */
async function send(url: string, { method = 'POST', from = '127.0.0.1', headers = {} }: Sent = {}) {
  const [response] = await once(request(url, { method, headers, localAddress: from, agent: false }).end(), 'response')
  const body = (await response.setEncoding('utf8').toArray()).join('')
  return { status: Number(response.statusCode), headers: response.headers as IncomingHttpHeaders, body }
}

/** The statuses of consecutive requests. */
async function statusesOf(times: number, url: string, sent?: Sent): Promise<number[]> {
  const statuses = []
  for (let n = 0; n < times; n += 1) statuses.push((await send(url, sent)).status)
  return statuses
}

const as = (address: string) => ({ headers: { 'x-forwarded-for': address } })

describe('CLIENT_RATE', () => {
  test('allows a burst up to the limit, refuses the next request, and allows another one after Retry-After', async () => {
    const { play } = await start({ CLIENT_RATE: '3/6s', ...BEHIND_PROXY })
    let clients = 0
    // Repeat if the machine paused, because the limit allows more requests if more time passes.
    await repeatAfterPause(async () => {
      clients += 1
      const client = as(`203.0.113.${clients}`)
      expect(await statusesOf(3, play.url + PLAY, client)).toEqual([200, 200, 200])
      const { status, headers, body } = await send(play.url + PLAY, client)
      expect([status, JSON.parse(body)]).toEqual([
        429,
        { status: 'Too many requests', requestId: headers['x-request-id'] },
      ])
      expect(headers).toMatchObject({
        'retry-after': expect.stringMatching(/^[12]$/),
        ratelimit: `"client";r=0;t=${headers['retry-after']}`,
        'ratelimit-policy': '"client";q=3;w=6',
      })
      await sleep(1_000 * Number(headers['retry-after']))
      const next = await send(play.url + PLAY, client)
      expect([next.status, next.headers.ratelimit]).toEqual([200, expect.stringMatching(/^"client";r=0;t=[3-6]$/)])
      expect((await send(play.url + PLAY, client)).status).toBe(429)
    })
  })

  test('refuses requests before doing any work: nothing is counted or looked up, and at most one line a second is logged', async () => {
    const { play, reporting, process } = await start({ CLIENT_RATE: '5/1h', ...BEHIND_PROXY })
    const lookups = () => metric(play.url, /^play_group_size_sum{group="lookup"}/)
    const startedAt = performance.now()
    const statuses = await statusesOf(200, play.url + PLAY, as('203.0.113.7'))
    expect(statuses.filter((status) => status === 200)).toHaveLength(5)
    expect(statuses.filter((status) => status === 429)).toHaveLength(195)
    expect(await metric(play.url, /^rate_limited_requests_total{limit="client"} /)).toBe(195)
    expect([await lookups(), await metric(play.url, /^recorded_views_total{place="log"}/)]).toEqual([5, 5])
    await eventually(async () => expect(await views(reporting.url, 'user', '8')).toBe(5))
    const lines = await eventually(() => {
      const found = process.lines().filter((line) => line.includes('rate limit exceeded'))
      expect(found).not.toHaveLength(0)
      return found
    })
    expect(lines.length).toBeLessThanOrEqual(1 + Math.ceil((performance.now() - startedAt) / 1_000))
    expect(lines.join()).not.toMatch(/203\.0\.113\.7|"8"/)
  })

  test('covers every route, except health probes that do not come through a proxy', async () => {
    const { play } = await start({ CLIENT_RATE: '1/1h', ...BEHIND_PROXY })
    expect(await statusesOf(1, `${play.url}/nope`, as('203.0.113.7'))).toEqual([404])
    for (const path of ['/', '/docs', '/openapi.json', '/catalogue', '/status', '/live', '/views/1', '/metrics', '/x'])
      expect([path, (await send(play.url + path, { method: 'GET', ...as('203.0.113.7') })).status]).toEqual([path, 429])
    for (const path of ['/healthz', '/readyz']) {
      expect(await statusesOf(1, play.url + path, { method: 'GET', ...as('203.0.113.7') })).toEqual([429])
      expect(await statusesOf(3, play.url + path, { method: 'GET', from: '127.0.0.2' })).toEqual([200, 200, 200])
    }
  })

  test('is per source address, and ignores X-Forwarded-For unless a trusted proxy sends it', async () => {
    const { play } = await start({ CLIENT_RATE: '3/1h' })
    const statuses = []
    for (let n = 0; n < 5; n += 1) statuses.push((await send(play.url + PLAY, as(`203.0.113.${n}`))).status)
    expect(statuses).toEqual([200, 200, 200, 429, 429])
    expect(await statusesOf(3, play.url + PLAY, { from: '127.0.0.2' })).toEqual([200, 200, 200])
  })

  test.skipIf(!hasNginx)('is per client behind a real proxy, whatever the client claims', async () => {
    const { play } = await start({ CLIENT_RATE: '3/1h', ...BEHIND_PROXY })
    const proxy = stack.use(await startNginx(play.url))
    const statuses = []
    for (const spoofed of ['203.0.113.1', '203.0.113.2, 127.0.0.1', '127.0.0.3', 'garbage', ',,']) {
      const headers = { 'x-forwarded-for': spoofed, forwarded: `for=${spoofed}` }
      statuses.push((await send(proxy.url + PLAY, { from: '127.0.0.2', headers })).status)
    }
    expect(statuses).toEqual([200, 200, 200, 429, 429])
    expect(await statusesOf(3, proxy.url + PLAY, { from: '127.0.0.3' })).toEqual([200, 200, 200])
  })

  test('is per IPv6 /64 network', async () => {
    const { play } = await start({ CLIENT_RATE: '2/1h', ...BEHIND_PROXY })
    const statuses = []
    for (const address of ['2001:db8::1', '2001:DB8:0:0:ffff::2', '[2001:db8::3]:443', '2001:db8:0:1::1'])
      statuses.push((await send(play.url + PLAY, as(address))).status)
    expect(statuses).toEqual([200, 200, 429, 200])
  })

  test('identifies IPv4 clients on a dual-stack socket by their IPv4 address', async () => {
    const { play } = await start({ CLIENT_RATE: '2/1h', HOST: '::', ALLOW_OPEN_WRITES: '1' })
    const url = `http://127.0.0.1:${new URL(play.url).port}${PLAY}`
    expect(await statusesOf(3, url, { from: '127.0.0.2' })).toEqual([200, 200, 429])
    expect(await statusesOf(1, url, { from: '127.0.0.3' })).toEqual([200])
  })
})

describe('PLAY_RATE', () => {
  test("limits a user's plays, but no other requests", async () => {
    const { play } = await start({ PLAY_RATE: '2/1h' })
    expect(await statusesOf(3, play.url + PLAY)).toEqual([200, 200, 429])
    const { headers } = await send(play.url + PLAY)
    expect(headers).toMatchObject({
      ratelimit: expect.stringMatching(/^"user";r=0;t=\d+$/),
      'ratelimit-policy': '"user";q=2;w=3600',
    })
    expect(await statusesOf(1, `${play.url}/play/asset/456/user/9`)).toEqual([200])
    expect(await statusesOf(3, `${play.url}/healthz`, { method: 'GET' })).toEqual([200, 200, 200])
    expect(await metric(play.url, /^rate_limited_requests_total{limit="user"} /)).toBe(2)
  })

  test("applies per client to unverified user ids, so that one client cannot use up another's limit", async () => {
    const { play } = await start({ PLAY_RATE: '2/1h', ...BEHIND_PROXY })
    expect(await statusesOf(5, play.url + PLAY, as('203.0.113.66'))).toEqual([200, 200, 429, 429, 429])
    expect(await statusesOf(3, play.url + PLAY, as('203.0.113.7'))).toEqual([200, 200, 429])
  })

  test('treats the same id in another encoding as the same user', async () => {
    const { play } = await start({ PLAY_RATE: '2/1h' })
    const paths = [PLAY, '/play/asset/456/user/%38', '/play/asset/123/user/8?x=1']
    const statuses = []
    for (const path of paths) statuses.push((await send(play.url + path)).status)
    expect(statuses).toEqual([200, 200, 429])
  })

  test('does not apply to invalid user ids, even very long ones, which get a 400', async () => {
    const { play } = await start({ PLAY_RATE: '1/1h' })
    expect(await statusesOf(3, `${play.url}/play/asset/456/user/${'x'.repeat(10_000)}`)).toEqual([400, 400, 400])
  })

  test('and CLIENT_RATE are both reported in headers, and CLIENT_RATE is checked first', async () => {
    const { play } = await start({ PLAY_RATE: '2/1h', CLIENT_RATE: '3/1h', ...BEHIND_PROXY })
    const { headers } = await send(play.url + PLAY, as('203.0.113.7'))
    expect(headers).toMatchObject({
      'ratelimit-policy': '"client";q=3;w=3600, "user";q=2;w=3600',
      ratelimit: '"client";r=2;t=1200, "user";r=1;t=1800',
    })
    const refused = []
    for (let n = 0; n < 3; n += 1) refused.push((await send(play.url + PLAY, as('203.0.113.7'))).headers)
    expect(refused.map(({ ratelimit }) => ratelimit?.toString().split(';')[0])).toEqual([
      '"client"',
      '"client"',
      '"client"',
    ])
    expect(refused.map(({ 'ratelimit-policy': policies }) => policies?.toString().includes('user'))).toEqual([
      true,
      true,
      false,
    ])
  })
})

test('without either rate, requests are not limited, and responses have no rate-limit headers', async () => {
  const { play } = await start({})
  const { headers } = await send(play.url + PLAY)
  expect(Object.keys(headers).filter((name) => /ratelimit/i.test(name))).toEqual([])
  expect(await statusesOf(100, play.url + PLAY)).toEqual(Array(100).fill(200))
  expect(await (await fetch(`${play.url}/metrics`)).text()).not.toMatch(/rate_limited_requests_total{/)
})

test('a page from another origin may read a 429 and its headers', async () => {
  const origin = 'https://tv.example'
  const { play } = await start({ CLIENT_RATE: '1/1h', CORS_ORIGINS: origin })
  const sent = { headers: { origin } }
  const [first, second] = [await send(play.url + PLAY, sent), await send(play.url + PLAY, sent)]
  expect([first.status, second.status]).toEqual([200, 429])
  for (const { headers } of [first, second])
    expect(headers).toMatchObject({
      'access-control-allow-origin': origin,
      'access-control-expose-headers': 'x-request-id,retry-after,view-id,RateLimit,RateLimit-Policy',
    })
})

describe('prefetches', () => {
  test('return the current counts, and are never counted', async () => {
    const { play: edge, reporting } = await start({})
    const prefetch = () => send(edge.url + PLAY, { headers: { 'sec-purpose': 'prefetch', 'idempotency-key': '"k"' } })
    for (let n = 0; n < 5; n += 1) {
      const { status, headers, body } = await prefetch()
      expect([status, JSON.parse(body).userviews, headers['view-id']]).toEqual([200, 0, undefined])
    }
    const played = await send(edge.url + PLAY, { headers: { 'idempotency-key': '"k"' } })
    expect([JSON.parse(played.body).userviews, typeof played.headers['view-id']]).toEqual([1, 'string'])
    await eventually(async () => expect(JSON.parse((await prefetch()).body).userviews).toBe(1))
    expect(await play(edge.url, '456', '9')).toMatchObject({ status: 200 })
    await eventually(async () => expect(await views(reporting.url, 'asset', '456')).toBe(2))
    expect(await views(reporting.url, 'user', '8')).toBe(1)
    expect(await metric(edge.url, /^prefetched_plays_total /)).toBeGreaterThan(5)
  })
})

test('the OpenAPI document describes the 429 of each limited operation', async () => {
  const services: Services = await start({})
  type Described = { responses: Record<string, { headers?: object }> }
  const { paths } = (await getJson(`${services.play.url}/openapi.json`)) as {
    paths: Record<string, Record<string, Described>>
  }
  for (const path of ['/play/asset/{assetId}/user/{userId}', '/catalogue', '/live', '/status', '/views/{viewId}']) {
    const [operation] = Object.values(paths[path] ?? {})
    const headers = Object.keys(operation?.responses['429']?.headers ?? {})
    expect([path, ...headers]).toEqual([path, 'x-request-id', 'retry-after', 'RateLimit', 'RateLimit-Policy'])
  }
})
