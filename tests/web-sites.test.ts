import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { serviceEntries } from '../services.ts'
import { type HttpServer, startHttpServer } from '../shared/testing/http-server.ts'
import { hasChromium, startBrowser } from './harness/browser.ts'
import { serviceNames } from './harness/each-service.ts'
import { type Services, startEmbedded } from './harness/embedded.ts'
import { eventually } from './harness/eventually.ts'
import { views } from './harness/plays.ts'

const SITE = 'site.example'
const TRUSTED = 'trusted.example'

/** State-changing requests that a browser sends without a preflight. */
const WRITES: [name: keyof Services & string, path: string][] = [
  ['play', '/play/asset/456/user/victim'],
  ['reporting', '/events/asset/456/user/victim'],
]

describe.skipIf(!hasChromium)("in a user's browser,", () => {
  let system: Services
  let site: HttpServer
  let browser: Browser
  let page: Page
  beforeAll(async () => {
    site = await startHttpServer((_, response) =>
      response.setHeader('content-type', 'text/html').end('<title>x</title>'),
    )
    system = await startEmbedded({ CORS_ORIGINS: `http://${TRUSTED}:${site.port}` })
    // All names resolve to this machine, as in DNS rebinding.
    browser = await startBrowser(['--host-resolver-rules=MAP *.example 127.0.0.1'])
    page = await browser.newPage()
  })
  afterAll(async () => {
    await browser?.close()
    await system?.[Symbol.asyncDispose]()
    await site?.[Symbol.asyncDispose]()
  })

  const post = (url: string) =>
    page.evaluate(async (url) => {
      const response = await fetch(url, { method: 'POST', mode: 'no-cors' })
      return response.status
    }, url)
  const viewsOf = (user: string) => views(system.reporting.url, 'user', user)

  test.each(WRITES)("another web site's page cannot change state in %s", async (name, path) => {
    await page.goto(`http://${SITE}:${site.port}/`)
    const refused = page.waitForResponse(system[name].url + path)
    await post(system[name].url + path)
    expect((await refused).status()).toBe(403)
    expect(await viewsOf('victim')).toBe(0)
  })

  test('a page can play if its origin is in CORS_ORIGINS', async () => {
    await page.goto(`http://${TRUSTED}:${site.port}/`)
    await post(`${system.play.url}/play/asset/456/user/guest`)
    await eventually(async () => expect(await viewsOf('guest')).toBe(1))
  })

  test.each(serviceNames)("another web site's page cannot read or write %s by DNS rebinding", async (name) => {
    const { port } = new URL(system[name].url)
    // Only the health probes accept any host name.
    await page.goto(`http://${SITE}:${port}/healthz`)
    for (const path of ['/', '/metrics', '/openapi.json', '/status', '/play/asset/456/user/victim']) {
      expect(await post(path)).toBe(421)
      expect(await page.evaluate(async (path) => (await fetch(path)).status, path)).toBe(421)
    }
    expect(await viewsOf('victim')).toBe(0)
  })

  test('DNS rebinding does not allow a write even if a proxy on this machine is trusted', async () => {
    await using proxied = await startEmbedded({ TRUSTED_PROXIES: '127.0.0.1' })
    await page.goto(`http://${SITE}:${new URL(proxied.metadata.url).port}/healthz`)
    expect(await post('/content/asset/written')).toBe(421)
  })

  test.each(serviceEntries)('the API documents of $name load under a content security policy', async ({ name }) => {
    const problems: string[] = []
    const docs = await browser.newPage()
    docs.on('console', (message) => {
      if (message.type() === 'error') problems.push(message.text())
    })
    const response = await docs.goto(`${system[name].url}/docs`)
    expect(response?.headers()['content-security-policy']).toMatch(/default-src 'none'.*frame-ancestors 'none'/)
    await docs.getByText('/healthz', { exact: true }).click()
    await docs.getByRole('button', { name: 'Try it out' }).click()
    await docs.getByRole('button', { name: 'Execute' }).click()
    await docs.getByText('"status": "alive"').first().waitFor()
    expect(problems).toEqual([])
    await docs.close()
  })
})
