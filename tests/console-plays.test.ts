import type { BrowserContextOptions, Page, Route } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { hasChromium } from './harness/browser.ts'
import { clickPlay } from './harness/console-page.ts'
import { type ConsoleSystem, startConsoleSystem } from './harness/console-system.ts'
import { eventually } from './harness/eventually.ts'
import { natsVersion } from './harness/nats-server.ts'
import { play } from './harness/plays.ts'
import { violations } from './harness/violations.ts'

describe.skipIf(!natsVersion || !hasChromium)('in the recent plays on the console,', () => {
  let system: ConsoleSystem
  beforeAll(async () => {
    system = await startConsoleSystem({ CATALOGUE_TTL: '1h' })
  })
  afterAll(() => system?.[Symbol.asyncDispose]())

  const open = (options?: BrowserContextOptions) => system.open(options)

  test('a play\'s state changes from "in the log" to "counted", in the list and in the open dialog', async () => {
    await using opened = await open()
    const { page, errors } = opened
    await page.getByText('Play an asset to follow the play here until it is counted.').waitFor()
    await page.getByLabel('Play as user').fill('follower')
    await system.listener.signal('SIGKILL')
    await clickPlay(page, 'Terminator')
    await expectFates(page, [/^In the log, not counted yet$/])
    await rowsOf(page).first().click()
    await page.getByRole('dialog', { name: /^Terminator, played by follower at / }).waitFor()
    await page.getByText('Incomplete: queue-listener did not respond.').waitFor()
    expect(await operations(page)).not.toContain('queue-listener process video.viewed')

    await system.listener.start()
    await expectFates(page, [/^Counted after [\d.]+ m?s: qualified$/])
    const dialog = page.getByRole('dialog')
    await dialog.getByText(/^Status 200 after .* Counted after [\d.]+ m?s\.$/).waitFor()
    expect(await operations(page)).toEqual(
      expect.arrayContaining([
        'play POST /play/asset/:assetId/user/:userId',
        'reporting POST /events/lookup',
        'queue-listener process video.viewed',
        'reporting POST /events',
      ]),
    )
    expect(errors).toEqual([])
  })

  test('an opened play shows its ids, and where its data came from; Escape closes it', async () => {
    await using opened = await open({ permissions: ['clipboard-read', 'clipboard-write'] })
    const { page } = opened
    await page.getByLabel('Play as user').fill('reader')
    await clickPlay(page, 'Terminator')
    await expectFates(page, [/: qualified$/])
    await rowsOf(page).first().focus()
    await page.keyboard.press('Enter')
    const dialog = page.getByRole('dialog')
    await dialog.locator('tr.marker').first().waitFor()
    expect(await dialog.locator('tr.marker').allTextContents()).toEqual(
      expect.arrayContaining([expect.stringMatching(/^metadata cache hit: no call/)]),
    )
    const ids = await dialog.locator('.ids dd code').allTextContents()
    const [viewId = '', sequence, traceId = ''] = ids
    expect(sequence).toMatch(/^\d+$/)
    expect(ids).toEqual(expect.arrayContaining([`npm run why -- ${viewId}`, `grep ${traceId} play.log`]))
    await dialog.getByRole('button', { name: 'Copy trace ID' }).click()
    expect(await page.evaluate('navigator.clipboard.readText()')).toBe(traceId)
    await page.keyboard.press('Escape')
    await dialog.waitFor({ state: 'hidden' })
    // The panel behind the dialog stays open, and the row has the focus again.
    await page.getByText('Terminator: 200 OK').waitFor()
    expect(await page.evaluate('document.activeElement.className')).toBe('play-line')
  })

  test('the option "Everyone" also lists plays by other clients', async () => {
    await using opened = await open()
    const { page } = opened
    await page.getByLabel('Everyone').check()
    for (let n = 1; n <= 6; n += 1) await play(system.play.url, '123', `other-${n}`)
    await play(system.play.url, '123', 'somebody-else')
    await eventually(async () => expect(await rowsOf(page).first().textContent()).toContain('somebody-else'))
    await page.mouse.move(0, 0)
    await expectFates(page, [/: qualified$/], 'somebody-else')
    await page.getByRole('button', { name: /^Show all \d+$/ }).click()
    expect(await rowsOf(page).count()).toBeGreaterThan(5)
    await page.getByLabel('This page').check()
    await page.getByText('Play an asset to follow the play here').waitFor()
  })

  test('two plays with the same traceparent each show their own outcome', async () => {
    await using opened = await open()
    const { page } = opened
    await page.getByLabel('Everyone').check()
    const headers = { traceparent: `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01` }
    const users = ['twin-1', 'twin-2']
    for (const user of users) {
      await fetch(`${system.play.url}/play/asset/123/user/${user}`, { method: 'POST', headers })
    }
    const sequences = new Set<string | undefined>()
    for (const user of users) {
      await expectFates(page, [/: qualified$/], user)
      await rowsOf(page).filter({ hasText: user }).click()
      const dialog = page.getByRole('dialog')
      const ids = dialog.locator('.ids dd code')
      await eventually(async () => expect((await ids.allTextContents())[1]).toMatch(/^\d+$/))
      sequences.add((await ids.allTextContents())[1])
      await page.keyboard.press('Escape')
      await page.mouse.move(0, 0)
    }
    expect(sequences.size).toBe(2)
  })

  test('an opened play is updated until it is counted, even if it has left the list', async () => {
    await using opened = await open()
    const { page } = opened
    await page.getByLabel('Everyone').check()
    await system.listener.signal('SIGKILL')
    await play(system.play.url, '123', 'patient')
    await expectFates(page, [/^In the log, not counted yet$/], 'patient')
    await rowsOf(page).filter({ hasText: 'patient' }).click()
    const dialog = page.getByRole('dialog')
    await dialog.getByText('Incomplete: queue-listener did not respond.').waitFor()
    for (let n = 1; n <= 5; n += 1) await play(system.play.url, '123', `newer-${n}`)
    await eventually(async () => expect(await rowsOf(page).filter({ hasText: 'patient' }).count()).toBe(0))
    await system.listener.start()
    await dialog.getByText(/^Status 200 after .* Counted after [\d.]+ m?s\.$/).waitFor()
  })

  test.each([
    ['succeeds', (route: Route) => route.continue(), /^Status 200 after /],
    ['fails', (route: Route) => route.fulfill({ status: 503, json: {} }), 'Not a view: status 503'],
  ] as const)('a play that is opened while it is in flight is updated when it %s', async (_, respond, outcome) => {
    await using opened = await open()
    const { page } = opened
    const held = Promise.withResolvers<void>()
    await page.route('**/play/asset/**', async (route) => {
      await held.promise
      await respond(route)
    })
    await clickPlay(page, 'Terminator')
    await expectFates(page, [/^Playing…$/])
    await rowsOf(page).first().click()
    const dialog = page.getByRole('dialog')
    await dialog.getByText('Playing…').waitFor()
    await dialog.getByText('Collecting the spans from all services…').waitFor()
    held.resolve()
    await dialog.getByText(outcome).waitFor()
    expect(await dialog.getByText('view ID').count()).toBe(outcome instanceof RegExp ? 1 : 0)
  })

  test('if the waterfall module or the dialog module fails to load, the page retries', async () => {
    await using opened = await open()
    const { page, errors } = opened
    for (const name of ['waterfall', 'play-view']) {
      await page.route(`**/plays/${name}.js`, (route) => route.abort(), { times: 1 })
    }
    await clickPlay(page, 'Terminator')
    await expectFates(page, [/^Counted after /])
    await rowsOf(page).first().click()
    const failure = page.getByText('The play did not open. Retrying…')
    await failure.waitFor()
    await page.getByRole('dialog').locator('.waterfall').first().waitFor()
    await failure.waitFor({ state: 'hidden' })
    expect(errors.filter((text) => !text.startsWith('Failed to load resource'))).toEqual([])
  })

  test('a play is shown with its duration even if its trace could not be read at first', async () => {
    await using opened = await open()
    const { page } = opened
    let failures = 0
    await page.route(
      '**/traces/*',
      (route) => {
        failures += 1
        return route.abort()
      },
      { times: 4 },
    )
    await clickPlay(page, 'Terminator')
    await eventually(() => expect(failures).toBe(4))
    await expectFates(page, [/^Counted after [\d.]+ m?s: /])
  })

  test('a play that was opened repeatedly before it was counted is shown with its duration', async () => {
    await using opened = await open()
    const { page } = opened
    await page.getByLabel('Play as user').fill('impatient')
    await system.listener.signal('SIGKILL')
    await clickPlay(page, 'Terminator')
    await expectFates(page, [/^In the log, not counted yet$/])
    let uncounted = ''
    for (let n = 1; n <= 3; n += 1) {
      const read = page.waitForResponse('**/traces/*')
      await rowsOf(page).first().click()
      uncounted = await (await read).text()
      await page.getByText('Incomplete: queue-listener did not respond.').waitFor()
      await page.keyboard.press('Escape')
    }
    const body = uncounted
    await page.route('**/traces/*', (route) => route.fulfill({ contentType: 'application/json', body }), { times: 1 })
    await system.listener.start()
    await expectFates(page, [/^Counted after [\d.]+ m?s: qualified$/])
  })

  test('a click on the backdrop closes an opened play, but a click on its padding or a drag out of it does not', async () => {
    await using opened = await open()
    const { page } = opened
    await clickPlay(page, 'Terminator')
    await expectFates(page, [/^Counted/])
    await rowsOf(page).first().click()
    const dialog = page.getByRole('dialog')
    await dialog.locator('.waterfall').first().waitFor()
    const { x, y } = (await dialog.boundingBox()) ?? { x: 0, y: 0 }
    await page.mouse.click(x + 8, y + 8)
    expect(await dialog.isVisible()).toBe(true)
    await dialog.getByRole('heading').hover()
    await page.mouse.down()
    await page.mouse.move(x - 8, y + 8)
    await page.mouse.up()
    expect(await dialog.isVisible()).toBe(true)
    await page.mouse.click(x - 8, y + 8)
    await dialog.waitFor({ state: 'hidden' })
  })

  test("a play's time comes from the edge's clock, even if the browser clock is wrong", async () => {
    await using opened = await open({ timezoneId: 'UTC' })
    const { page } = opened
    await page.addInitScript(`const Clock = Date
      Date = class extends Clock {
        static now() { return Clock.now() - 3 * 3_600_000 }
        constructor(...at) { super(...(at.length === 0 ? [Date.now()] : at)) }
      }`)
    // The page gets the edge's time from the first status response.
    await page.reload()
    await page.getByText('All services up').waitFor()
    await page.getByLabel('Play as user').fill('early')
    const before = Date.now()
    await clickPlay(page, 'Terminator')
    await expectFates(page, [/^Counted/])
    const [shown] = /\d\d:\d\d/.exec((await rowsOf(page).first().textContent()) ?? '') ?? []
    // The page's clock may be two seconds off.
    const times = [before - 2_000, Date.now() + 2_000].map((ms) => new Date(ms).toISOString().slice(11, 16))
    expect(times).toContain(shown)
  })

  test('at 360 px, an opened play does not scroll horizontally, and axe finds no serious violations', async () => {
    await using opened = await open({ viewport: { width: 360, height: 780 }, reducedMotion: 'reduce' })
    const { page } = opened
    await clickPlay(page, 'Terminator')
    await expectFates(page, [/^Counted/])
    await rowsOf(page).first().click()
    await page.getByRole('dialog').locator('.waterfall').first().waitFor()
    for (const colorScheme of ['light', 'dark'] as const) {
      await page.emulateMedia({ colorScheme })
      expect(await violations(page)).toEqual([])
    }
    expect(await page.evaluate('document.documentElement.scrollWidth <= innerWidth')).toBe(true)
  })
})

function rowsOf(page: Page) {
  return page.locator('#plays-list button')
}

/** Waits until the first plays in the list have the expected states. With `user`, ignores plays by other users. */
function expectFates(page: Page, expected: RegExp[], user = ''): Promise<void> {
  return eventually(async () => {
    const texts = await rowsOf(page).filter({ hasText: user }).locator('.fate').allTextContents()
    for (const [index, pattern] of expected.entries()) expect(texts[index]).toMatch(pattern)
  })
}

/** The operations in the waterfalls of an opened play, without their remarks. */
function operations(page: Page): Promise<string[]> {
  return page.evaluate(`[...document.querySelectorAll('.waterfall tbody th')].map((cell) =>
    [...cell.childNodes].filter(({ className }) => className !== 'remarks').map(({ textContent }) => textContent).join(''))`)
}
