import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Readiness } from '../shared/contracts/readiness.ts'
import { hasChromium, startBrowser } from './harness/browser.ts'
import { clickPlay, openConsole } from './harness/console-page.ts'
import { doctor } from './harness/doctor-command.ts'
import { startEmbedded } from './harness/embedded.ts'
import { eventually } from './harness/eventually.ts'
import { subscribeLive } from './harness/live-subscriber.ts'
import { natsVersion } from './harness/nats-server.ts'
import { metric, play, views, warmUp } from './harness/plays.ts'
import { freePort } from './harness/ports.ts'
import { type System, startSystem } from './harness/system.ts'

describe.skipIf(!natsVersion)('with OPS_PORT,', () => {
  let system: System
  let edge: string
  let opsPort: number
  let operations: string
  beforeAll(async () => {
    opsPort = await freePort()
    operations = `http://127.0.0.1:${opsPort}`
    system = await startSystem({ OPS_PORT: String(opsPort) })
    edge = system.play.url
    await warmUp(edge)
  })
  afterAll(() => system?.[Symbol.asyncDispose]())

  test.each([
    '/',
    '/console/console.js',
    '/status',
    '/metrics',
    '/docs',
    '/docs/',
    '/docs/start.js',
    '/openapi.json',
    '/series',
    '/traces',
    `/traces/${'a'.repeat(32)}`,
    '/api',
    '/api/documents/metadata',
    '/tour',
    '/controls',
    '/controls/seed',
    '/%6detrics',
    '//metrics',
    '/metrics/',
    '/nope',
  ])('the public port has no %s', async (path) => {
    for (const method of ['GET', 'HEAD', 'POST', 'OPTIONS']) {
      const response = await fetch(edge + path, { method })
      expect(response.status).toBe(404)
      await response.body?.cancel()
    }
  })

  test('the operations port serves every path, and plays assets', async () => {
    for (const path of [
      '/',
      '/console/console.js',
      '/tour',
      '/controls',
      '/status',
      '/metrics',
      '/docs',
      '/openapi.json',
      '/catalogue',
      '/traces',
    ]) {
      const response = await fetch(operations + path)
      expect(response.status).toBe(200)
      await response.body?.cancel()
    }
    expect((await play(operations, '456', 'operator')).body).toMatchObject({ userviews: 1 })
    await eventually(async () => expect(await views(system.reporting.url, 'user', 'operator')).toBe(1))
  })

  test('the public probes say whether play is ready, and nothing about its dependencies', async () => {
    expect(await (await fetch(`${edge}/readyz`)).json()).toEqual({ status: 'ready', dependencies: {} })
    const { dependencies } = Readiness.parse(await (await fetch(`${operations}/readyz`)).json())
    expect(dependencies).toMatchObject({ nats: 'up', metadata: 'up' })
    expect((await fetch(`${edge}/healthz`)).status).toBe(200)
  })

  test('a public path returns 405 for an unsupported method, and 404s count against the client limit', async () => {
    const response = await fetch(`${edge}/play/asset/456/user/8`)
    expect([response.status, response.headers.get('allow')]).toEqual([405, 'POST'])
    await using limited = await startEmbedded({ OPS_PORT: String(await freePort()), CLIENT_RATE: '5/1h' })
    const statuses: number[] = []
    for (let n = 0; n < 8; n += 1) statuses.push((await fetch(`${limited.play.url}/nope`)).status)
    expect(statuses).toEqual([404, 404, 404, 404, 404, 429, 429, 429])
  })

  test('an explanation on the public port names no user', async () => {
    const played = await fetch(`${edge}/play/asset/456/user/secretive`, { method: 'POST' })
    const viewId = played.headers.get('view-id')
    await eventually(async () => expect(await views(system.reporting.url, 'user', 'secretive')).toBe(1))
    const explain = async (origin: string) => (await fetch(`${origin}/views/${viewId}`)).json()
    expect(await explain(edge)).toMatchObject({ state: 'counted', assetId: '456', userId: null })
    expect(await explain(operations)).toMatchObject({ state: 'counted', userId: 'secretive' })
  })

  test('pages from CORS_ORIGINS can read only the public port', async () => {
    const origin = 'https://tv.example'
    const opsPort = await freePort()
    await using trusting = await startEmbedded({ OPS_PORT: String(opsPort), CORS_ORIGINS: origin })
    const allowed = async (url: string) => {
      const { headers } = await fetch(`${url}/catalogue`, { headers: { origin } })
      return headers.get('access-control-allow-origin')
    }
    expect(await allowed(trusting.play.url)).toBe(origin)
    expect(await allowed(`http://127.0.0.1:${opsPort}`)).toBeNull()
    const play = { method: 'POST', headers: { origin, 'sec-fetch-site': 'cross-site' } }
    expect((await fetch(`http://127.0.0.1:${opsPort}/play/asset/456/user/8`, play)).status).toBe(403)
    expect((await fetch(`${trusting.play.url}/play/asset/456/user/8`, play)).status).toBe(200)
  })

  test('a flood of readiness probes does not reach the dependencies', async () => {
    const calls = () => metric(system.metadata.url, /^http_server_request_duration_seconds_count{.*"\/healthz"/)
    const before = await calls()
    const startedAt = performance.now()
    await Promise.all(Array.from({ length: 200 }, () => fetch(`${edge}/readyz`)))
    const most = 2 + (performance.now() - startedAt) / 250
    expect((await calls()) - before).toBeLessThanOrEqual(most)
  })

  test('public subscribers get the live counts of assets, and no user id', async () => {
    await using stranger = await subscribeLive(`${edge}/live`)
    await using operator = await subscribeLive(`${operations}/live`)
    await eventually(() => expect([stranger.seen(), operator.seen()]).not.toContain(undefined))
    await play(edge, '123', 'somebody')
    await eventually(() => expect(JSON.stringify(operator.events)).toContain('somebody'))
    const counted = operator.seen()
    await eventually(() => expect(stranger.seen()).toEqual({ ...counted, users: [] }))
    expect(JSON.stringify(stranger.events)).not.toMatch(/somebody|operator/)
    await using late = await subscribeLive(`${edge}/live`)
    await eventually(() => expect(late.seen()).toEqual({ ...counted, users: [] }))
  })

  test('the doctor checks play through its operations port', async () => {
    const env = { ...system.env, DATA_DIR: system.dataDir }
    await eventually(async () => expect((await doctor(env)).of('play')).toEqual([`ok ${edge} is ready`]))
    const other = await freePort()
    const report = await doctor({ ...env, OPS_PORT: String(other) })
    expect(report.of('play')).toEqual([
      expect.stringMatching(`^FAIL ${edge} is unreachable at its operations port, http://127.0.0.1:${other} `),
    ])
  })

  describe.skipIf(!hasChromium)('the console on the operations port', () => {
    let browser: Browser
    beforeAll(async () => {
      browser = await startBrowser()
    })
    afterAll(() => browser?.close())

    test('plays assets and shows live counts', async () => {
      await using opened = await openConsole(browser, operations)
      await opened.page.getByLabel('Play as user').fill('watcher')
      await clickPlay(opened.page, 'Terminator')
      await opened.page.getByText(/^Terminator: 200 OK in/).waitFor()
      expect(opened.errors).toEqual([])
    })
  })
})
