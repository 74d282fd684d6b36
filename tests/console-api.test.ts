import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { hasChromium } from './harness/browser.ts'
import { type ConsoleSystem, startConsoleSystem } from './harness/console-system.ts'
import { natsVersion } from './harness/nats-server.ts'

describe.skipIf(!natsVersion || !hasChromium)('the API page', () => {
  let system: ConsoleSystem
  beforeAll(async () => {
    system = await startConsoleSystem()
  })
  afterAll(() => system?.[Symbol.asyncDispose]())

  async function openApi() {
    const opened = await system.open()
    await opened.page.getByRole('link', { name: 'API of all services' }).click()
    return opened
  }

  test('can play an asset with the example values', async () => {
    await using opened = await openApi()
    const { page } = opened
    await page.locator('#operations-play-play').getByRole('button').first().click()
    await page.getByRole('button', { name: 'Try it out' }).click()
    await page.getByRole('button', { name: 'Execute' }).click()
    await page.locator('.live-responses-table').getByText('"title": "Terminator"').waitFor()
    expect(opened.errors).toEqual([])
  })

  test.each(['metadata', 'cdnurl', 'reporting', 'queue-listener'] as const)(
    'shows the operations of %s, and links to the page where they can be tried',
    async (name) => {
      await using opened = await openApi()
      const { page } = opened
      await page.getByLabel('Select a definition').selectOption(name)
      const { url } = name === 'queue-listener' ? system.listener : system[name]
      await page.getByRole('link', { name: "this instance's documentation" }).waitFor()
      expect(await page.locator(`a[href="${url}/docs"]`).count()).toBe(1)
      await page.locator('.opblock-summary-control').first().click()
      await page.locator('.opblock-body').getByText('Responses').first().waitFor()
      expect(await page.getByRole('button', { name: 'Try it out' }).count()).toBe(0)
      expect(opened.errors).toEqual([])
    },
  )
})
