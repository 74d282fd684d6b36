import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { hasChromium, startBrowser } from './harness/browser.ts'
import { cardTitles, visitConsole } from './harness/console-page.ts'
import { eventually } from './harness/eventually.ts'
import { natsVersion } from './harness/nats-server.ts'
import { type ServiceProcess, startService } from './harness/service-process.ts'
import { type System, startSystem } from './harness/system.ts'

describe.skipIf(!natsVersion || !hasChromium)('the catalogue on the console', () => {
  let system: System
  let browser: Browser
  let metadata: ServiceProcess
  let edge: ServiceProcess
  beforeAll(async () => {
    system = await startSystem()
    browser = await startBrowser()
    metadata = await startService('metadata')
    edge = await startService('play', { ...system.env, METADATA_URL: metadata.url })
    for (const id of ['123', '456']) await fetch(`${metadata.url}/content/asset/${id}`, { method: 'DELETE' })
  })
  afterAll(async () => {
    await browser?.close()
    for (const resource of [edge, metadata, system]) await resource?.[Symbol.asyncDispose]()
  })

  test('explains, while it is empty, how to fill it', async () => {
    await using opened = await visitConsole(browser, edge.url)
    await opened.page.getByText('The catalogue is empty. To fill it, run npm run seed').waitFor()
  })

  test('is reloaded after it fails to load', async () => {
    await using opened = await visitConsole(browser, edge.url)
    const { page } = opened
    await page.route('**/catalogue?*', (route) => route.fulfill({ status: 503 }))
    await page.reload()
    await page.getByText('The catalogue is unavailable. Retrying…').waitFor()
    await page.unroute('**/catalogue?*')
    await page.getByText('The catalogue is empty.').waitFor()
  })

  test('shows 10,000 assets page by page, and searches all of them', async () => {
    const ids = Array.from({ length: 10_000 }, (_, n) => `a${String(n).padStart(5, '0')}`)
    const lines = ids.map((id) => JSON.stringify({ id, title: `Film ${id}`, genre: `genre ${id.at(-1)}`, summary: '' }))
    const headers = { 'content-type': 'application/x-ndjson' }
    const init = { method: 'POST', headers, body: lines.join('\n') }
    expect((await fetch(`${metadata.url}/content/assets`, init)).status).toBe(200)
    await using opened = await visitConsole(browser, edge.url)
    const { page } = opened
    await page.getByText('10,000 assets, showing the first 60').waitFor()
    expect(await page.locator('.card').count()).toBe(60)
    await page.getByRole('button', { name: 'Show more' }).click()
    expect(await page.locator('.card').count()).toBe(120)
    expect(await page.evaluate('document.activeElement.ariaLabel')).toBe('Play Film a00060')

    await page.getByLabel('Search').fill('film a09999')
    await eventually(async () => expect(await cardTitles(page)).toEqual(['Film a09999']))
    await page.getByText('1 of 10,000 assets', { exact: true }).waitFor()
    await page.getByLabel('Search').fill('')
    await page.getByLabel('Genre').selectOption('genre 7')
    await page.getByText('1,000 of 10,000 assets, showing the first 60').waitFor()
  })
})
