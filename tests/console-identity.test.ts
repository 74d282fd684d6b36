import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { hasChromium, startBrowser } from './harness/browser.ts'
import { clickPlay, openConsole, visitConsole } from './harness/console-page.ts'
import { type Services, startEmbedded } from './harness/embedded.ts'
import { eventually } from './harness/eventually.ts'
import { type IdentityProvider, startIdentityProvider } from './harness/identity-provider.ts'
import { views } from './harness/plays.ts'
import { violations } from './harness/violations.ts'

describe.skipIf(!hasChromium)('on the console,', () => {
  const stack = new AsyncDisposableStack()
  let provider: IdentityProvider
  let system: Services
  let browser: Browser
  beforeAll(async () => {
    provider = stack.use(await startIdentityProvider())
    system = stack.use(await startEmbedded(provider.settings))
    browser = await startBrowser()
    stack.defer(() => browser.close())
  })
  afterAll(() => stack.disposeAsync())

  test('a pasted token names the user, and is sent with plays and explanations until the tab is closed', async () => {
    await using opened = await openConsole(browser, system.play.url)
    const { page, errors } = opened
    const token = page.getByLabel('Token')
    expect([await token.getAttribute('type'), await token.getAttribute('autocomplete')]).toEqual(['password', 'off'])
    await token.fill(await provider.issue('alice'))
    expect(await page.getByLabel('Play as user').inputValue()).toBe('alice')
    await clickPlay(page, 'It')
    await page.getByText('It: 200 OK').waitFor()
    await eventually(async () => expect(await views(system.reporting.url, 'user', 'alice')).toBe(1))
    const panel = page.getByRole('region', { name: 'Last play' })
    expect(await panel.locator('pre').last().textContent()).toContain('-H "authorization: Bearer $TOKEN"')
    await page.getByText('Why is this view counted, or not?').click()
    await page.locator('.outcome').getByText('Qualified').waitFor()

    await page.reload()
    await page.getByText('Live', { exact: true }).waitFor()
    await clickPlay(page, 'It')
    await page.getByText('It: 200 OK').waitFor()
    expect(errors).toEqual([])

    await using other = await openConsole(browser, system.play.url)
    expect(await other.page.getByLabel('Token').inputValue()).toBe('')
  })

  test('the examples play as the user in the token', async () => {
    await using opened = await openConsole(browser, system.play.url)
    const { page } = opened
    await page.getByLabel('Token').fill(await provider.issue('bob'))
    await page.getByText('Try it: cause each outcome').click()
    await page.getByRole('button', { name: 'Play twice' }).click()
    await page.getByText('Not qualified: repeat').waitFor()
    expect(await views(system.reporting.url, 'user', 'bob')).toBe(2)
    await page.getByLabel('View ID, from').fill('some-view')
    await page.getByRole('button', { name: 'Explain' }).click()
    await page.getByText('or it belongs to another user').waitFor()
  })

  test('the page explains in plain words why a token is rejected', async () => {
    await using opened = await openConsole(browser, system.play.url)
    const { page } = opened
    await page.getByLabel('Token').waitFor()
    await clickPlay(page, 'It')
    await page.getByText('It was not played: this edge needs a token. Paste yours at the top of the page.').waitFor()
    await page.getByLabel('Token').fill('not a token ünfortunately')
    await page.getByText('This is not a user token (JWT)').waitFor()
    await clickPlay(page, 'It')
    await page.getByText('It was not played: the token is not a valid JWT.').waitFor()
    await page.getByLabel('Token').fill(await provider.sign({ exp: 1 }))
    await clickPlay(page, 'It')
    await page.getByText('It was not played: the token has expired.').waitFor()
    await page.getByLabel('Token').fill(await provider.sign())
    await page.getByLabel('Play as user').fill('bob')
    await clickPlay(page, 'It')
    await page.getByText('It was not played: the token belongs to another user.').waitFor()
    await page.getByLabel('Token').fill('')
    await page.getByLabel('View ID, from').fill('some-view')
    await page.getByRole('button', { name: 'Explain' }).click()
    await page.getByText('Visible only to its user').waitFor()
  })

  test.each([1_280, 360])(
    'at %d px, a page with an invalid token does not scroll horizontally, and axe finds no serious violations',
    async (width) => {
      await using opened = await openConsole(browser, system.play.url, { viewport: { width, height: 780 } })
      const { page } = opened
      await page.getByLabel('Token').fill('wrong')
      await clickPlay(page, 'It')
      await page.getByText('It was not played').waitFor()
      expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(width)
      expect(await violations(page)).toEqual([])
    },
  )

  test('without an identity provider, there is no input for a token, and no token is sent', async () => {
    await using open = await startEmbedded()
    await using opened = await visitConsole(browser, open.play.url)
    const { page } = opened
    await page.evaluate("sessionStorage.setItem('token', 'kept from another edge')")
    await page.reload()
    await page.getByText('All services up').waitFor()
    expect(await page.getByLabel('Token').isVisible()).toBe(false)
    const sent = page.waitForRequest((request) => request.method() === 'POST')
    await clickPlay(page, 'It')
    expect(await (await sent).headerValue('authorization')).toBeNull()
  })
})
