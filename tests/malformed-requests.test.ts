import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { serviceNames } from './harness/each-service.ts'
import { type Services, startEmbedded } from './harness/embedded.ts'
import { eventually } from './harness/eventually.ts'
import { connectHttp } from './harness/raw-http.ts'
import { runningTime } from './harness/running-time.ts'

const host = 'host: localhost'
const id = 'x-request-id: request-1'

/** Requests that Node or Hono's adapter rejects before they reach a route. */
const cases: [what: string, status: number, lines: string[], keepsId?: boolean][] = [
  ['an invalid Host header', 400, ['GET /healthz HTTP/1.1', 'host: a b/c', id], true],
  ['two Host headers', 400, ['GET /healthz HTTP/1.1', host, 'host: 127.0.0.1', id], true],
  ['the Host of a web site', 421, ['GET /metrics HTTP/1.1', 'host: evil.example:8080', id], true],
  ['no Host header', 400, ['GET /healthz HTTP/1.1', id], true],
  ['a backslash in the path', 400, ['GET /a\\b HTTP/1.1', host, id], true],
  ['* as its path', 400, ['OPTIONS * HTTP/1.1', host, id], true],
  ['an invalid absolute URL', 400, ['GET http://[/ HTTP/1.1', host, id], true],
  ['the method CONNECT', 501, ['CONNECT localhost:80 HTTP/1.1', host, id], true],
  ['an unknown expectation', 417, ['GET /healthz HTTP/1.1', host, id, 'expect: coffee'], true],
  ['an unsatisfiable range', 416, ['GET /docs/swagger-ui.css HTTP/1.1', host, id, 'range: bytes=99999999-'], true],
  ['a malformed request line', 400, ['HELLO']],
  ['a malformed header', 400, ['GET /healthz HTTP/1.1', host, 'no colon']],
  ['two Content-Length headers', 400, ['POST /healthz HTTP/1.1', host, 'content-length: 1', 'content-length: 2']],
  ['headers over 16 KiB', 431, ['GET /healthz HTTP/1.1', host, `x-filler: ${'x'.repeat(20_000)}`]],
]

describe('for malformed requests,', () => {
  let system: Services
  beforeAll(async () => {
    system = await startEmbedded()
  })
  afterAll(() => system?.[Symbol.asyncDispose]())

  describe.each(serviceNames)('%s', (name) => {
    test.each(cases)(
      'given a request with %s, returns status %i and the common error shape',
      async (_, status, lines, keepsId) => {
        using client = await connectHttp(system[name].url, `${lines.join('\r\n')}\r\n\r\n`)
        const { headers, body, ...response } = await client.response()
        expect(response.status).toBe(status)
        expect(headers).toMatchObject({ 'content-type': 'application/json', 'x-content-type-options': 'nosniff' })
        const requestId = headers['x-request-id']
        expect(requestId).toMatch(keepsId ? /^request-1$/ : /^[\w-]{36}$/)
        expect(JSON.parse(body)).toMatchObject({ status: expect.stringMatching(/./), requestId })
      },
    )
  })

  test("the response to an unsatisfiable range includes the file's size", async () => {
    const response = await fetch(`${system.play.url}/docs/swagger-ui.css`, { headers: { range: 'bytes=99999999-' } })
    expect(response.status).toBe(416)
    expect(response.headers.get('content-range')).toMatch(/^bytes \*\/\d+$/)
  })

  test.concurrent('headers that take more than 10 s to arrive get a 408', async () => {
    using client = await connectHttp(system.play.url, `GET /healthz HTTP/1.1\r\n${host}\r\n`)
    const startedAt = runningTime()
    const { status, headers, body } = await client.response(25_000)
    expect(runningTime() - startedAt).toBeLessThan(20_000)
    expect({ status, body: JSON.parse(body) }).toEqual({
      status: 408,
      body: { status: 'Request timeout', requestId: headers['x-request-id'] },
    })
    expect(headers.connection).toBe('close')
  })

  test.concurrent('malformed bytes after the start of a response close the connection without another response', async () => {
    using client = await connectHttp(system.reporting.url, `GET /events/live HTTP/1.1\r\n${host}\r\n\r\n`)
    expect((await client.response()).status).toBe(200)
    client.socket.write('HELLO\r\n\r\n')
    await eventually(() => expect(client.isClosed()).toBe(true))
    expect(client.received()).not.toContain('HTTP/1.1 400')
  })
})
