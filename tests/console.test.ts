import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import type { BrowserContextOptions, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { postAsset } from './harness/assets.ts'
import { hasChromium } from './harness/browser.ts'
import { cardOf, cardTitles, cardViews, clickPlay, totalViews } from './harness/console-page.ts'
import { type ConsoleSystem, startConsoleSystem } from './harness/console-system.ts'
import { eventually } from './harness/eventually.ts'
import { natsVersion } from './harness/nats-server.ts'
import { metric, play, views } from './harness/plays.ts'
import { violations } from './harness/violations.ts'

const MARKUP = '<img src=x onerror="document.title=\'markup\'">'
const markup = { title: MARKUP, genre: '<b>bold</b>', summary: '<script>1</script>' }

describe.skipIf(!natsVersion || !hasChromium)('on the console,', () => {
  let system: ConsoleSystem
  beforeAll(async () => {
    system = await startConsoleSystem({ CATALOGUE_TTL: '1s' })
    await postAsset(system, { id: 'witches', title: 'Häxan', genre: 'documentary', url: 'films/witches.mp4' })
    await postAsset(system, { ...markup, id: 'markup', url: '<i>.mp4' })
    await postAsset(system, { id: 'clip', title: 'A clip', url: `${system.play.url}/films/clip.webm` })
    await postAsset(system, { id: 'no-url', title: 'No URL' })
  })
  afterAll(() => system?.[Symbol.asyncDispose]())

  const open = (options?: BrowserContextOptions) => system.open(options)

  test('a play shows the raw response, its latency and a curl command that repeats the request', async () => {
    await using opened = await open()
    const { page } = opened
    await page.getByLabel('Play as user').fill('curious')
    await clickPlay(page, 'Terminator')
    const panel = page.getByRole('region', { name: 'Last play' })
    await panel.getByText(/^Terminator: 200 OK in [\d.]+ ms$/).waitFor()
    const body = JSON.parse((await panel.locator('pre').first().textContent()) ?? '')
    expect(body).toMatchObject({ id: '456', title: 'Terminator', url: 'path/to/asset456.mp4', userviews: 1 })
    await eventually(async () => expect(await views(system.reporting.url, 'user', 'curious')).toBe(1))

    const curl = (await panel.locator('pre').last().textContent()) ?? ''
    const { stdout } = await promisify(execFile)('bash', ['-c', curl])
    expect(JSON.parse(stdout)).toEqual({ ...body, userviews: 2, assetviews: body.assetviews + 1 })
  })

  test('each press of the Play button is a separate play, with its own idempotency key', async () => {
    const keyed = () => metric(system.play.url, /^idempotent_plays_total{outcome="recorded"}/)
    const before = await keyed()
    await using opened = await open()
    await opened.page.getByLabel('Play as user').fill('presser')
    for (const count of [1, 2, 3]) {
      await clickPlay(opened.page, 'It')
      await eventually(async () => expect(await views(system.reporting.url, 'user', 'presser')).toBe(count))
    }
    expect(await keyed()).toBe(before + 3)
  })

  test('the copy button copies the curl command', async () => {
    await using opened = await open({ permissions: ['clipboard-read', 'clipboard-write'] })
    const { page } = opened
    await page.getByLabel('Play as user').fill('copier')
    await clickPlay(page, 'It')
    await page.getByRole('button', { name: 'Copy' }).click()
    await page.getByRole('button', { name: 'Copied' }).waitFor()
    const text = await page.evaluate('navigator.clipboard.readText()')
    expect(text).toBe(`curl -X POST '${system.play.url}/play/asset/123/user/copier'`)
  })

  test('plays by other clients update the cards, the top lists and the total without a reload', async () => {
    await using watching = await open()
    await using playing = await open()
    const { page } = watching
    const before = await cardViews(page, 'Häxan')
    const totalBefore = await totalViews(page)
    for (let n = 1; n <= 3; n += 1) {
      await playing.page.getByLabel('Play as user').fill(`fan-${n}`)
      await clickPlay(playing.page, 'Häxan')
      await eventually(async () => expect(await cardViews(page, 'Häxan')).toBe(before + n), 5_000)
    }
    expect(await totalViews(page)).toBeGreaterThanOrEqual(totalBefore + 3)
    await page.getByRole('region', { name: 'Most viewed' }).getByText('Häxan').waitFor()
    await page.getByRole('region', { name: 'Most active users' }).getByText('fan-2').waitFor()
    await eventually(async () => expect(await rate(page)).toBeGreaterThan(0))
  })

  test('a new asset appears on the open page without moving the focus', async () => {
    await using opened = await open()
    const { page } = opened
    await page.getByRole('button', { name: 'Play Terminator' }).focus()
    await postAsset(system, { id: '000', title: 'Newly posted', url: 'new.mp4' })
    await cardOf(page, 'Newly posted').waitFor({ timeout: 10_000 })
    expect(await page.evaluate('document.activeElement.ariaLabel')).toBe('Play Terminator')
  })

  test('search ignores case and accents, and the genre filter works', async () => {
    await using opened = await open()
    const { page } = opened
    await page.getByLabel('Search').fill('HAXAN')
    await expectTitles(page, ['Häxan'])
    await page.getByLabel('Search').fill('no such film')
    await page.getByText('No assets match.').waitFor()
    await page.getByRole('button', { name: 'Clear filters' }).click()
    await page.getByLabel('Genre').selectOption('horror')
    await expectTitles(page, ['It'])
  })

  test('the URL contains the filters, so that a shared link and a reload show the same assets', async () => {
    await using opened = await open()
    const { page } = opened
    await page.getByLabel('Search').fill('hax')
    await page.getByLabel('Genre').selectOption('documentary')
    await page.getByLabel('Sort by').selectOption('title')
    expect(new URL(page.url()).search).toBe('?q=hax&genre=documentary&sort=title')
    await page.reload()
    await cardOf(page, 'Häxan').waitFor()
    expect(await cardTitles(page)).toEqual(['Häxan'])
    expect(await page.getByLabel('Genre').inputValue()).toBe('documentary')
    await page.getByLabel('Search').fill('no such film')
    await page.getByRole('button', { name: 'Clear filters' }).click()
    expect(new URL(page.url()).search).toBe('?sort=title')
    await page.goto(`${system.play.url}/?genre=none&sort=none`)
    await cardOf(page, 'It').waitFor()
    expect(await page.getByLabel('Sort by').inputValue()).toBe('id')
  })

  test('the Back button restores the previous search', async () => {
    await using opened = await open()
    const { page } = opened
    const search = page.getByLabel('Search')
    await search.fill('terminator')
    await page.evaluate(`location.hash = 'why=x'`)
    await search.fill('it')
    await eventually(() => expect(page.url()).toContain('?q=it#why=x'))
    await page.goBack()
    await eventually(async () => expect(await cardTitles(page)).toEqual(['Terminator']))
    expect(await search.inputValue()).toBe('terminator')
    expect(page.url()).toContain('?q=terminator')
  })

  test('markup in a title is shown as text everywhere', async () => {
    await using opened = await open()
    const { page, errors } = opened
    expect(await cardTitles(page)).toContain(MARKUP)
    await clickPlay(page, MARKUP)
    await page.getByText(`${MARKUP}: 200 OK`).waitFor()
    await page.getByRole('region', { name: 'Most viewed' }).getByText(MARKUP).waitFor()
    expect(await page.locator('main img, main script, main i').count()).toBe(0)
    expect(await page.title()).toBe('Video edge aggregator')
    const write = page.evaluate('document.createElement("p").innerHTML = "<b>"')
    await expect(write).rejects.toThrow(/TrustedHTML/)
    expect(errors.filter((error) => !error.includes('TrustedHTML'))).toEqual([])
  })

  test('an absolute URL is loaded as a video, and a relative one is shown as text', async () => {
    await using opened = await open()
    const { page, thirdPartyRequests } = opened
    await clickPlay(page, 'A clip')
    expect(await page.locator('video').getAttribute('src')).toBe(`${system.play.url}/films/clip.webm`)
    await page.getByText(/^The CDN at 127.0.0.1:\d+ does not have this video\.$/).waitFor()
    await clickPlay(page, 'Terminator')
    await page.getByText('URL: path/to/asset456.mp4').waitFor()
    await page.getByText('There is no video at this URL').waitFor()
    expect(await page.locator('video').count()).toBe(0)
    expect(thirdPartyRequests).toEqual([])
  })

  test('an asset without a URL is listed, and playing it shows why it fails', async () => {
    await using opened = await open()
    await clickPlay(opened.page, 'No URL')
    await opened.page.getByText('cdnurl has no URL for it').waitFor()
  })

  test('with an invalid user id, nothing is played and the page shows the allowed format; a valid user id survives a reload', async () => {
    await using opened = await open()
    const { page } = opened
    await page.getByLabel('Play as user').fill('no spaces')
    await page.getByText('1 to 128 characters: A-Z').waitFor()
    await clickPlay(page, 'It')
    expect(await page.evaluate('document.activeElement.id')).toBe('user')
    expect(await page.locator('#response-body pre').count()).toBe(0)
    await page.getByLabel('Play as user').fill('ada')
    await page.reload()
    expect(await page.getByLabel('Play as user').inputValue()).toBe('ada')
  })

  test('the page works even if the browser denies access to localStorage', async () => {
    const context = await system.browser.newContext()
    await context.addInitScript(
      'Object.defineProperty(window, "localStorage", { get() { throw new Error("denied") } })',
    )
    const page = await context.newPage()
    await page.goto(system.play.url)
    await clickPlay(page, 'Terminator')
    await page.getByText('Terminator: 200 OK').waitFor()
    await context.close()
  })

  test('the rate of views is correct even if the browser clock is wrong', async () => {
    await using opened = await open()
    const { page } = opened
    await page.addInitScript('const now = Date.now; Date.now = () => now() - 3_600_000')
    await page.reload()
    await clickPlay(page, 'It')
    await eventually(async () => expect(await rate(page)).toBeGreaterThan(0))
  })

  test('the page reconnects after the live stream is rejected', async () => {
    await using opened = await open()
    const { page } = opened
    await page.route('**/live', (route) => route.fulfill({ status: 503 }), { times: 1 })
    await page.reload()
    await page.getByText('Reconnecting…').waitFor()
    await page.getByText('Live', { exact: true }).waitFor()
  })

  test('eight windows share one connection; when the window that holds it is closed, another window takes over', async () => {
    await using opened = await open()
    const { page } = opened
    const windows = [page]
    while (windows.length < 8) {
      const next = await page.context().newPage()
      await next.goto(system.play.url)
      await next.getByText('Live', { exact: true }).waitFor()
      windows.push(next)
    }
    let expected = await views(system.reporting.url, 'asset', '123')
    const expectOneMore = async () => {
      expected += 1
      for (const each of windows) {
        await eventually(async () => expect(await cardViews(each, 'It')).toBe(expected))
        expect(await totalViews(each)).toBeGreaterThanOrEqual(expected)
      }
    }
    await clickPlay(windows[7] ?? page, 'It')
    await expectOneMore()
    await eventually(async () => expect(await metric(system.play.url, /^event_stream_listeners /)).toBe(1))
    await windows.shift()?.close()
    await play(system.play.url, '123', 'windows')
    await expectOneMore()
    await eventually(async () => expect(await metric(system.play.url, /^event_stream_listeners /)).toBe(1))
  })

  test('a hidden page unsubscribes, and catches up when it is visible again', async () => {
    await using opened = await open()
    const { page } = opened
    const subscribers = () => metric(system.play.url, /^event_stream_listeners /)
    await eventually(async () => expect(await subscribers()).toBe(1))
    const setHidden = (isHidden: boolean) =>
      page.evaluate(`Object.defineProperty(document, 'hidden', { value: ${isHidden}, configurable: true })
        document.dispatchEvent(new Event('visibilitychange'))`)
    await setHidden(true)
    await eventually(async () => expect(await subscribers()).toBe(0))
    await play(system.play.url, '123', 'hidden')
    await setHidden(false)
    await eventually(async () =>
      expect(await cardViews(page, 'It')).toBe(await views(system.reporting.url, 'asset', '123')),
    )
  })

  test('normal use causes no browser errors and no third-party requests', async () => {
    await using opened = await open()
    const { page, errors, thirdPartyRequests } = opened
    await clickPlay(page, 'It')
    await page.getByText('It: 200 OK').waitFor()
    await page.getByLabel('Sort by').selectOption('views')
    await page.getByLabel('Search').fill('term')
    await expectTitles(page, ['Terminator'])
    expect({ errors, thirdPartyRequests }).toEqual({ errors: [], thirdPartyRequests: [] })
  })

  test('the page can be used with only the keyboard', async () => {
    await using opened = await open()
    const { page } = opened
    await page.keyboard.press('Tab')
    expect(await page.evaluate('document.activeElement.textContent')).toBe('Skip to catalogue')
    await page.keyboard.press('Enter')
    await page.keyboard.press('Tab')
    await page.keyboard.type('termi')
    await expectTitles(page, ['Terminator'])
    const isOnPlay = async () => (await page.evaluate('document.activeElement.ariaLabel')) === 'Play Terminator'
    for (let n = 0; n < 5 && !(await isOnPlay()); n += 1) await page.keyboard.press('Tab')
    await page.keyboard.press('Enter')
    await page.getByText('Terminator: 200 OK').waitFor()
    expect(await isOnPlay()).toBe(true)
  })

  describe.each(['light', 'dark'] as const)('in a %s colour scheme,', (colorScheme) => {
    test.each([1_280, 360])(
      'at %d px, the page does not scroll horizontally, and axe finds no serious violations',
      async (width) => {
        await using opened = await open({ colorScheme, viewport: { width, height: 780 }, reducedMotion: 'reduce' })
        const { page } = opened
        await clickPlay(page, 'Terminator')
        await page.getByText('Terminator: 200 OK').waitFor()
        await page.getByText('Yes: every view is accounted for.').waitFor()
        await page.getByRole('button', { name: /: show It over time$/ }).click()
        await page.getByText('Per hour, last 24 hours').waitFor()
        await page.keyboard.press('End')
        await page.getByText('Try it: cause each outcome').click()
        await page.getByRole('button', { name: 'Play twice' }).click()
        await page.getByText('Not qualified: repeat').waitFor()
        expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(width)
        expect(await violations(page)).toEqual([])
        const background = await page.evaluate<string>('getComputedStyle(document.documentElement).backgroundColor')
        expect(Number(/\d+/.exec(background)?.[0]) < 128).toBe(colorScheme === 'dark')
      },
    )
  })
})

/** The views per second that the page shows. */
async function rate(page: Page): Promise<number> {
  return Number(await page.locator('#rate').textContent())
}

function expectTitles(page: Page, titles: string[]): Promise<void> {
  return eventually(async () => expect(await cardTitles(page)).toEqual(titles))
}
