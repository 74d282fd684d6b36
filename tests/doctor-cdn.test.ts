import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startHttpServer } from '../shared/testing/http-server.ts'
import { doctor } from './harness/doctor-command.ts'
import { freePort, freePortRange } from './harness/ports.ts'
import { startService } from './harness/service-process.ts'

const KEYS = 'k1:secret-of-the-first-key'

describe('npm run doctor', () => {
  const stack = new AsyncDisposableStack()
  let edge: string
  let port: string
  beforeAll(async () => {
    port = String(await freePortRange())
    const { url } = stack.use(await startService('cdn', { CDN_KEYS: KEYS, CDN_ROOT: '.' }))
    edge = url
  })
  afterAll(() => stack.disposeAsync())

  const findings = async (env: Record<string, string>) => {
    const none = { CDN_BASE_URL: '', CDN_KEYS: '', CDN_PATHS: '', CDN_SIGNER: '' }
    return (await doctor({ ...none, ...env }, ['--port', port])).of('cdn')
  }

  test('reports nothing about the CDN if none is configured', async () => {
    expect(await findings({})).toEqual([])
  })

  test.each(['', 'clips/'])('with CDN_PATHS=%j, reports a CDN that accepts signed URLs as ok', async (CDN_PATHS) => {
    expect(await findings({ CDN_BASE_URL: edge, CDN_KEYS: KEYS, CDN_PATHS })).toEqual([
      `ok ${edge} accepts the URLs that play signs`,
    ])
  })

  test.each(['k1:secret-of-another-key', 'k2:secret-of-the-first-key'])(
    'reports a CDN without the key %s',
    async (CDN_KEYS) => {
      expect(await findings({ CDN_BASE_URL: edge, CDN_KEYS })).toEqual([
        expect.stringMatching(/^FAIL .* refuses the URLs that play signs: give it the keys in CDN_KEYS/),
      ])
    },
  )

  test('reports a CDN that is down', async () => {
    const CDN_BASE_URL = `http://127.0.0.1:${await freePort()}`
    expect(await findings({ CDN_BASE_URL, CDN_KEYS: KEYS })).toEqual([
      `FAIL ${CDN_BASE_URL} is unreachable (ECONNREFUSED): no video can be played`,
    ])
  })

  test('reports a CDN that does not check signatures', async () => {
    await using open = await startHttpServer((_, response) => response.writeHead(404).end())
    expect(await findings({ CDN_BASE_URL: open.url, CDN_KEYS: KEYS })).toEqual([
      `FAIL ${open.url} returned 404, not 403, for a URL with a wrong signature: check its setup`,
    ])
  })

  test.each([502, 401, 301])('reports a CDN that returns %i for a valid URL', async (status) => {
    await using failing = await startHttpServer(({ url = '' }, response) =>
      response.writeHead(url.includes('A'.repeat(43)) ? 403 : status).end(),
    )
    expect(await findings({ CDN_BASE_URL: failing.url, CDN_KEYS: KEYS })).toEqual([
      `FAIL ${failing.url} returned ${status} for a URL that play signs: check its setup, and the storage behind it`,
    ])
  })

  test('reports a CDN whose clock is ahead', async () => {
    await using ahead = await startHttpServer(({ url = '' }, response) =>
      response.writeHead(url.includes('A'.repeat(43)) ? 403 : 410).end(),
    )
    expect(await findings({ CDN_BASE_URL: ahead.url, CDN_KEYS: KEYS })).toEqual([
      `FAIL ${ahead.url} rejects a new URL as expired: compare its clock with play's`,
    ])
  })
})
