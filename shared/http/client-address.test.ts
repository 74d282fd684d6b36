import { once } from 'node:events'
import { createServer, request } from 'node:http'
import { getRequestListener } from '@hono/node-server'
import { Hono } from 'hono'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Networks, trustedProxies } from '../runtime/ip-address.ts'
import { type HttpServer, startHttpServer } from '../testing/http-server.ts'
import type { AppEnv } from './app-env.ts'
import { clientAddressOf, isFromProxy } from './client-address.ts'

const networks = (text: string): Networks => trustedProxies.parse(text) ?? { includes: () => false }

describe("a client's address", () => {
  let server: HttpServer
  let trusted: Networks | undefined
  beforeAll(async () => {
    const app = new Hono<AppEnv>().get('/', (c) => c.text(clientAddressOf(c, trusted)))
    server = await startHttpServer(getRequestListener(app.fetch))
  })
  afterAll(() => server[Symbol.asyncDispose]())

  /** Returns the address that the app sees for a client on loopback that sends these header lines. */
  async function addressOf(proxies: string | undefined, ...lines: string[]): Promise<string> {
    trusted = proxies === undefined ? undefined : networks(proxies)
    const headers = lines.flatMap((line) => ['x-forwarded-for', line])
    const sent = request({ port: server.port, host: '127.0.0.1', headers: ['host', 'a', ...headers] }).end()
    const [response] = await once(sent, 'response')
    return (await response.setEncoding('utf8').toArray()).join('')
  }

  test.each([undefined, '10.0.0.0/8'])('is the peer address unless the peer is trusted (%s)', async (proxies) => {
    expect(await addressOf(proxies, '203.0.113.7')).toBe('127.0.0.1')
  })

  test.each([
    ['is the one that the proxy appended', ['203.0.113.7'], '203.0.113.7'],
    ['is not one that the client itself sent', ['198.51.100.1, 10.0.0.1, 203.0.113.7'], '203.0.113.7'],
    [
      'is the right-most one that is not a trusted proxy',
      ['198.51.100.1, 203.0.113.7, 10.0.0.2, 10.0.0.1'],
      '203.0.113.7',
    ],
    ['is found across multiple header lines', ['198.51.100.1', '203.0.113.7', '10.0.0.1'], '203.0.113.7'],
    ['may be on the previous header line', ['198.51.100.1, 203.0.113.7', '10.0.0.1'], '203.0.113.7'],
    ['is that of the proxy if there is no header', [], '127.0.0.1'],
    ['is that of the proxy if the header is empty', [''], '127.0.0.1'],
    ['is the left-most one if all are trusted proxies', ['10.0.0.3, 10.0.0.2,10.0.0.1'], '10.0.0.3'],
    ['is that of a proxy that reports its peer as unknown', ['203.0.113.7, unknown, 10.0.0.1'], '10.0.0.1'],
    ['is that of a proxy that appends an empty element', ['203.0.113.7,'], '127.0.0.1'],
    ['is not a malformed address', ['203.0.113.7, 1.2.3.4.5'], '127.0.0.1'],
    ['may have a port', ['203.0.113.7:4711'], '203.0.113.7'],
    ['may be IPv6', ['2001:DB8::7'], '2001:DB8::7'],
    ['may be IPv6 in brackets', ['[2001:db8::7]'], '2001:db8::7'],
    ['may be IPv6 with a port', ['[2001:db8::7]:4711'], '2001:db8::7'],
    ['may be an IPv4-mapped IPv6 address', ['::ffff:203.0.113.7'], '203.0.113.7'],
    ["may precede a trusted proxy's IPv4-mapped address", ['203.0.113.7, ::ffff:10.0.0.1'], '203.0.113.7'],
    ['is not taken from a quoted element', ['203.0.113.8, "203.0.113.7"'], '127.0.0.1'],
    ['is found in a 16 KB header', [`${'10.0.0.1,'.repeat(1_500)}203.0.113.7,10.0.0.1`], '203.0.113.7'],
  ])('behind a trusted proxy %s', async (_, lines, expected) => {
    expect(await addressOf('127.0.0.1, 10.0.0.0/8', ...lines)).toBe(expected)
  })

  test('is not taken from the Forwarded header', async () => {
    trusted = networks('127.0.0.1')
    const response = await fetch(server.url, { headers: { forwarded: 'for=203.0.113.7' } })
    expect(await response.text()).toBe('127.0.0.1')
  })

  test('is IPv4 on a dual-stack socket', async () => {
    const app = new Hono<AppEnv>().get('/', (c) => c.text(clientAddressOf(c)))
    const dual = createServer(getRequestListener(app.fetch)).listen(0, '::')
    await once(dual, 'listening')
    const address = dual.address()
    const port = typeof address === 'object' ? address?.port : undefined
    expect(await (await fetch(`http://127.0.0.1:${port}`)).text()).toBe('127.0.0.1')
    dual.close()
    dual.closeAllConnections()
  })

  test('is empty without a connection', async () => {
    const app = new Hono<AppEnv>().get('/', (c) => c.text(clientAddressOf(c, networks('0.0.0.0/0'))))
    expect(await (await app.request('/')).text()).toBe('')
  })
})

test('a request is from a proxy if its connection is, whatever X-Forwarded-For contains', async () => {
  const app = new Hono<AppEnv>().get('/', (c) =>
    c.json(['127.0.0.1', '10.0.0.1'].map((proxies) => isFromProxy(c, networks(proxies)))),
  )
  await using server = await startHttpServer(getRequestListener(app.fetch))
  const response = await fetch(server.url, { headers: { 'x-forwarded-for': '10.0.0.1' } })
  expect(await response.json()).toEqual([true, false])
})
