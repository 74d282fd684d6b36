import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Services, startEmbedded } from './harness/embedded.ts'
import { eventually } from './harness/eventually.ts'
import { metric } from './harness/plays.ts'
import { freePort } from './harness/ports.ts'
import { startService } from './harness/service-process.ts'

const origin = 'https://tv.example'
const settings = { CORS_ORIGINS: `https://other.example, ${origin}` }

describe('a page whose origin is in CORS_ORIGINS', () => {
  let embedded: Services
  let edge: string
  beforeAll(async () => {
    embedded = await startEmbedded(settings)
    edge = embedded.play.url
  })
  afterAll(() => embedded?.[Symbol.asyncDispose]())

  test.each([
    [200, 'POST', '/play/asset/456/user/8'],
    [200, 'GET', '/healthz'],
    [200, 'GET', '/catalogue'],
    [400, 'POST', '/play/asset/-/user/8'],
    [404, 'POST', '/play/asset/unknown/user/8'],
    [404, 'GET', '/nope'],
    [405, 'GET', '/play/asset/456/user/8'],
  ])('may read the %i response to %s %s', async (status, method, path) => {
    const response = await fetch(edge + path, { method, headers: { origin } })
    expect(response.status).toBe(status)
    expectReadable(response)
    await response.body?.cancel()
  })

  test('may subscribe to live counts, for which no request duration is recorded', async () => {
    const response = await fetch(`${edge}/live`, { headers: { origin } })
    expect(response.status).toBe(200)
    expect(response.headers.get('access-control-allow-origin')).toBe(origin)
    const reader = response.body?.getReader()
    expect(Buffer.from((await reader?.read())?.value ?? '').toString()).toMatch(/^retry: /)
    await fetch(`${edge}/play/asset/456/user/followed`, { method: 'POST' })
    await eventually(async () =>
      expect(Buffer.from((await reader?.read())?.value ?? '').toString()).toMatch(/followed/),
    )
    expect(await metric(edge, /^event_stream_listeners /)).toBe(1)
    await reader?.cancel()
    await eventually(async () => expect(await metric(edge, /^event_stream_listeners /)).toBe(0))
    expect(await metric(edge, /^http_server_request_duration_seconds_count\{.*"\/play\//)).toBeGreaterThan(0)
    expect(await metric(edge, /^http_server_request_duration_seconds_count\{.*"\/live"/)).toBe(0)
  })

  test('may read a 503', async () => {
    const nobody = `127.0.0.1:${await freePort()}`
    const env = { NATS_URL: nobody, METADATA_URL: `http://${nobody}`, DATA_DIR: '/dev/null/none' }
    await using play = await startService('play', { ...settings, ...env })
    const response = await fetch(`${play.url}/play/asset/456/user/8`, { method: 'POST', headers: { origin } })
    expect(response.status).toBe(503)
    expectReadable(response)
  })

  test('gets a preflight response that allows it to play', async () => {
    const preflight = { 'access-control-request-method': 'POST', 'access-control-request-headers': 'idempotency-key' }
    const init = { method: 'OPTIONS', headers: { origin, ...preflight } }
    const response = await fetch(`${edge}/play/asset/456/user/8`, init)
    expect(response.status).toBe(204)
    expectReadable(response)
    expect(response.headers.get('access-control-allow-methods')).toBe('GET,HEAD,POST')
    expect(response.headers.get('access-control-allow-headers')).toBe('idempotency-key')
    expect(response.headers.get('access-control-max-age')).toBe('600')
  })

  test('may read responses that other pages may not read', async () => {
    for (const headers of [{ origin: 'https://tv.example.evil' }, {}]) {
      for (const method of ['POST', 'OPTIONS']) {
        const response = await fetch(`${edge}/play/asset/456/user/8`, { method, headers })
        expect(response.headers.get('access-control-allow-origin')).toBeNull()
        expect(response.headers.get('vary')).toMatch(/\bOrigin\b/)
      }
    }
  })

  test('has access only through CORS_ORIGINS: if it is unset, no response has CORS headers, and no other origin may play', async () => {
    const env = { NATS_URL: `127.0.0.1:${await freePort()}`, DATA_DIR: '/dev/null/none' }
    await using play = await startService('play', { ...env, METADATA_URL: `http://${env.NATS_URL}` })
    for (const [method, status] of [
      ['POST', 403],
      ['OPTIONS', 405],
      ['GET', 405],
    ] as const) {
      const response = await fetch(`${play.url}/play/asset/456/user/8`, { method, headers: { origin } })
      expect(response.status).toBe(status)
      expect([...response.headers.keys()].filter((name) => /^(access-control-|vary$)/.test(name))).toEqual([])
    }
  })
})

function expectReadable({ headers }: Response): void {
  expect(headers.get('access-control-allow-origin')).toBe(origin)
  expect(headers.get('access-control-expose-headers')).toBe('x-request-id,retry-after,view-id')
  expect(headers.get('vary')).toMatch(/\bOrigin\b/)
  expect(headers.get('x-request-id')).toMatch(/./)
  expect(headers.get('x-content-type-options')).toBe('nosniff')
}
