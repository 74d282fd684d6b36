import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { promisify } from 'node:util'
import type { Browser, BrowserContextOptions, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { postAsset } from './harness/assets.ts'
import { hasChromium, startBrowser } from './harness/browser.ts'
import { cardOf, openConsole, press, titlesOn, viewsOn } from './harness/console-page.ts'
import { eventually } from './harness/eventually.ts'
import { natsVersion } from './harness/nats-server.ts'
import { metric, play, views } from './harness/plays.ts'
import { type System, startSystem } from './harness/system.ts'

const MARKUP = '<img src=x onerror="document.title=\'markup\'">'
const markup = { title: MARKUP, genre: '<b>bold</b>', summary: '<script>1</script>' }

describe.skipIf(!natsVersion || !hasChromium)('the console', { timeout: 60_000 }, () => {
  let system: System
  let browser: Browser
  beforeAll(async () => {
    ;[system, browser] = await Promise.all([startSystem({ CATALOGUE_TTL: '1s' }), startBrowser()])
    await eventually(async () => expect((await play(system.play.url, '456', 'warm')).status).toBe(200))
    await postAsset(system, { id: 'witches', title: 'Häxan', genre: 'documentary', url: 'films/witches.mp4' })
    await postAsset(system, { ...markup, id: 'markup', url: '<i>.mp4' })
    await postAsset(system, { id: 'clip', title: 'A clip', url: `${system.play.url}/films/clip.webm` })
    await postAsset(system, { id: 'no-url', title: 'Without an address' })
  }, 60_000)
  afterAll(async () => {
    await browser?.close()
    await system?.[Symbol.asyncDispose]()
  })

  const open = (options?: BrowserContextOptions) => openConsole(browser, system.play.url, options)

  test('play shows the answer as it came, how long it took, and a curl line that does the same', async () => {
    await using opened = await open()
    const { page } = opened
    await page.getByLabel('Play as user').fill('curious')
    await press(page, 'Terminator')
    const answer = page.getByRole('region', { name: 'Last play' })
    await answer.getByText(/^Terminator: answered in [\d.]+ ms$/).waitFor()
    const shown = JSON.parse((await answer.locator('pre').first().textContent()) ?? '')
    expect(shown).toMatchObject({ id: '456', title: 'Terminator', url: 'path/to/asset456.mp4', userviews: 1 })
    await eventually(async () => expect(await views(system.reporting.url, 'user', 'curious')).toBe(1))

    const curl = (await answer.locator('pre').last().textContent()) ?? ''
    const { stdout } = await promisify(execFile)('bash', ['-c', curl])
    expect(JSON.parse(stdout)).toEqual({ ...shown, userviews: 2, assetviews: shown.assetviews + 1 })
  })

  test('the curl line is copied', async () => {
    await using opened = await open({ permissions: ['clipboard-read', 'clipboard-write'] })
    const { page } = opened
    await page.getByLabel('Play as user').fill('copier')
    await press(page, 'It')
    await page.getByRole('button', { name: 'Copy' }).click()
    await page.getByRole('button', { name: 'Copied' }).waitFor()
    const text = await page.evaluate('navigator.clipboard.readText()')
    expect(text).toBe(`curl -X POST '${system.play.url}/play/asset/123/user/copier'`)
  })

  test('what others play moves on the cards, in the top lists and in the sum, without a reload', async () => {
    await using watching = await open()
    await using playing = await open()
    const { page } = watching
    const before = await viewsOn(page, 'Häxan')
    const sum = await sumOn(page)
    for (let n = 1; n <= 3; n += 1) {
      await playing.page.getByLabel('Play as user').fill(`fan-${n}`)
      await press(playing.page, 'Häxan')
      await eventually(async () => expect(await viewsOn(page, 'Häxan')).toBe(before + n), 1_500)
    }
    expect(await sumOn(page)).toBeGreaterThanOrEqual(sum + 3)
    await page.getByRole('region', { name: 'Most viewed' }).getByText('Häxan').waitFor()
    await page.getByRole('region', { name: 'Most active users' }).getByText('fan-2').waitFor()
    await page.getByText(/^Views a second in the last 5 minutes: at most [1-9]/).waitFor()
  })

  test('an asset that is posted appears on the open page, and the focus stays where it is', async () => {
    await using opened = await open()
    const { page } = opened
    await page.getByRole('button', { name: 'Play Terminator' }).focus()
    await postAsset(system, { id: '000', title: 'Newly posted', url: 'new.mp4' })
    await cardOf(page, 'Newly posted').waitFor({ timeout: 10_000 })
    expect(await page.evaluate('document.activeElement.ariaLabel')).toBe('Play Terminator')
  })

  test('search finds without case and accents, and the filter by genre', async () => {
    await using opened = await open()
    const { page } = opened
    await page.getByLabel('Search').fill('HAXAN')
    await expectTitles(page, ['Häxan'])
    await page.getByLabel('Search').fill('nothing of that kind')
    await page.getByText('Nothing matches.').waitFor()
    await page.getByRole('button', { name: 'Show all' }).click()
    await page.getByLabel('Genre').selectOption('horror')
    await expectTitles(page, ['It'])
  })

  test('markup in a title is text, wherever it is shown', async () => {
    await using opened = await open()
    const { page, errors } = opened
    expect(await titlesOn(page)).toContain(MARKUP)
    await press(page, MARKUP)
    await page.getByText(`${MARKUP}: answered`).waitFor()
    await page.getByRole('region', { name: 'Most viewed' }).getByText(MARKUP).waitFor()
    expect(await page.locator('main img, main script, main i').count()).toBe(0)
    expect(await page.title()).toBe('Video edge aggregator')
    const write = page.evaluate('document.createElement("p").innerHTML = "<b>"')
    await expect(write).rejects.toThrow(/TrustedHTML/)
    expect(errors.filter((error) => !error.includes('TrustedHTML'))).toEqual([])
  })

  test('a video that the browser can play gets a player, and is not asked for before it is told to', async () => {
    await using opened = await open()
    const { page, foreign } = opened
    await press(page, 'A clip')
    expect(await page.locator('video').getAttribute('src')).toBe(`${system.play.url}/films/clip.webm`)
    await press(page, 'Terminator')
    await page.getByText('Plays from path/to/asset456.mp4').waitFor()
    expect(await page.locator('video').count()).toBe(0)
    expect(foreign).toEqual([])
  })

  test('an asset without an address is there, and says why it does not play', async () => {
    await using opened = await open()
    await press(opened.page, 'Without an address')
    await opened.page.getByText('cdnurl has no address for it').waitFor()
  })

  test('what cannot be a user plays nothing, and says what can; one that can is remembered', async () => {
    await using opened = await open()
    const { page } = opened
    await page.getByLabel('Play as user').fill('no spaces')
    await page.getByText('1 to 128 of A-Z').waitFor()
    await press(page, 'It')
    expect(await page.evaluate('document.activeElement.id')).toBe('user')
    expect(await page.locator('#answer-body pre').count()).toBe(0)
    await page.getByLabel('Play as user').fill('ada')
    await page.reload()
    expect(await page.getByLabel('Play as user').inputValue()).toBe('ada')
  })

  test('it works where the browser refuses its storage', async () => {
    const context = await browser.newContext()
    await context.addInitScript(
      'Object.defineProperty(window, "localStorage", { get() { throw new Error("refused") } })',
    )
    const page = await context.newPage()
    await page.goto(system.play.url)
    await press(page, 'Terminator')
    await page.getByText('Terminator: answered').waitFor()
    await context.close()
  })

  test('the chart is right in a browser whose clock is wrong', async () => {
    await using opened = await open()
    const { page } = opened
    await page.addInitScript('const now = Date.now; Date.now = () => now() - 3_600_000')
    await page.reload()
    await press(page, 'It')
    await page.getByText(/^Views a second in the last 5 minutes: at most [1-9]/).waitFor()
  })

  test('live counts that were refused are asked for again', async () => {
    await using opened = await open()
    const { page } = opened
    await page.route('**/live', (route) => route.fulfill({ status: 503 }), { times: 1 })
    await page.reload()
    await page.getByText('Reconnecting …').waitFor()
    await page.getByText('Live', { exact: true }).waitFor()
  })

  test('a page that is not seen follows nothing, and goes on when it is seen again', async () => {
    await using opened = await open()
    const { page } = opened
    const listeners = () => metric(system.play.url, /^event_stream_listeners /)
    await eventually(async () => expect(await listeners()).toBe(1))
    const setHidden = (isHidden: boolean) =>
      page.evaluate(`Object.defineProperty(document, 'hidden', { value: ${isHidden}, configurable: true })
        document.dispatchEvent(new Event('visibilitychange'))`)
    await setHidden(true)
    await eventually(async () => expect(await listeners()).toBe(0))
    await play(system.play.url, '123', 'unseen')
    await setHidden(false)
    await eventually(async () =>
      expect(await viewsOn(page, 'It')).toBe(await views(system.reporting.url, 'asset', '123')),
    )
  })

  test('in ordinary use the browser has nothing to complain of, and asks nobody else', async () => {
    await using opened = await open()
    const { page, errors, foreign } = opened
    await press(page, 'It')
    await page.getByText('It: answered').waitFor()
    await page.getByLabel('Order').selectOption('views')
    await page.getByLabel('Search').fill('term')
    await expectTitles(page, ['Terminator'])
    expect({ errors, foreign }).toEqual({ errors: [], foreign: [] })
  })

  test('the keyboard is enough', async () => {
    await using opened = await open()
    const { page } = opened
    await page.keyboard.press('Tab')
    expect(await page.evaluate('document.activeElement.textContent')).toBe('Skip to the catalogue')
    await page.keyboard.press('Enter')
    await page.keyboard.press('Tab')
    await page.keyboard.type('termi')
    await expectTitles(page, ['Terminator'])
    const isOnPlay = async () => (await page.evaluate('document.activeElement.ariaLabel')) === 'Play Terminator'
    for (let n = 0; n < 5 && !(await isOnPlay()); n += 1) await page.keyboard.press('Tab')
    await page.keyboard.press('Enter')
    await page.getByText('Terminator: answered').waitFor()
    expect(await isOnPlay()).toBe(true)
  })

  describe.each(['light', 'dark'] as const)('in %s colours', (colorScheme) => {
    test.each([1_280, 360])(
      'at a width of %d it does not scroll sideways, and axe finds nothing serious',
      async (width) => {
        await using opened = await open({ colorScheme, viewport: { width, height: 780 }, reducedMotion: 'reduce' })
        const { page } = opened
        await press(page, 'Terminator')
        await page.getByText('Terminator: answered').waitFor()
        await page.getByText(/^Views a second in the last 5 minutes: at most/).waitFor()
        expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(width)
        expect(await violations(page)).toEqual([])
        const background = await page.evaluate<string>('getComputedStyle(document.documentElement).backgroundColor')
        expect(Number(/\d+/.exec(background)?.[0]) < 128).toBe(colorScheme === 'dark')
      },
    )
  })
})

function expectTitles(page: Page, titles: string[]): Promise<void> {
  return eventually(async () => expect(await titlesOn(page)).toEqual(titles))
}

async function sumOn(page: Page): Promise<number> {
  return Number((await page.locator('#views').textContent())?.replace(',', ''))
}

/** What axe (https://github.com/dequelabs/axe-core) finds, of the serious and the critical. */
async function violations(page: Page): Promise<string[]> {
  const axe = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')
  await page.evaluate(axe)
  const found = await page.evaluate<{ violations: { id: string; impact: string; nodes: { html: string }[] }[] }>(
    'axe.run()',
  )
  return found.violations
    .filter(({ impact }) => impact === 'serious' || impact === 'critical')
    .map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(' ')}`)
}
