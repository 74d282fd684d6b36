import { delimiter } from 'node:path'
import type { Browser, BrowserContextOptions, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { ViewExplanation } from '../shared/contracts/view-explanation.ts'
import { postAsset } from './harness/assets.ts'
import { hasChromium, startBrowser } from './harness/browser.ts'
import { cardOf, clickPlay, openConsole } from './harness/console-page.ts'
import { hasNjs } from './harness/edges.ts'
import { eventually } from './harness/eventually.ts'
import { natsVersion, pathWithNats } from './harness/nats-server.ts'
import { npmStart, type Started } from './harness/npm-start.ts'
import { play, views } from './harness/plays.ts'
import { violations } from './harness/violations.ts'

const edges = [
  // Debian installs nginx in a directory that is only on root's PATH.
  { edge: 'nginx', path: [pathWithNats, '/usr/sbin'].join(delimiter), isInstalled: natsVersion && hasNjs },
  { edge: 'the Node edge', path: '', isInstalled: true },
]

describe.each(edges)('a clip served by $edge', ({ edge, path, isInstalled }) => {
  const isSkipped = !hasChromium || !isInstalled
  let started: Started
  let browser: Browser
  beforeAll(async () => {
    if (isSkipped) return
    started = await npmStart({ PATH: path, CDN_URL_TTL: '6s', VIEW_RULES: 'v2' })
    browser = await startBrowser()
    for (const id of ['expiring', 'impatient', 'offline', 'closed', 'paused', 'native', 'muted', 'shown'])
      await postAsset(started, { id, title: `The ${id} clip`, url: 'clips/sunrise/index.m3u8' })
  })
  afterAll(async () => {
    await browser?.close()
    await started?.[Symbol.asyncDispose]()
  })

  const open = (options?: BrowserContextOptions) => openConsole(browser, started.play.url, options)
  const viewsOf = (id: string) => views(started.reporting.url, 'asset', id)
  /** Views are counted in order, so all earlier views are counted once the new view is. */
  const expectOneView = async (id: string) => {
    await play(started.play.url, '456', `after-${id}`)
    await eventually(async () => expect(await views(started.reporting.url, 'user', `after-${id}`)).toBe(1))
    expect(await viewsOf(id)).toBe(1)
  }

  test.skipIf(isSkipped)(
    'plays with sound and captions after one press, and continues as the same view after its link has expired',
    async () => {
      await using opened = await open()
      const { page, errors, thirdPartyRequests } = opened
      await clickPlay(page, 'The expiring clip')
      await hasPlayed(page, 2)
      expect(await evaluate(page, 'video.muted')).toBe(false)
      await eventually(async () =>
        expect(await evaluate(page, 'video.textTracks[0].activeCues[0]?.text')).toBe('A disc rises over the sea.'),
      )
      expect(errors).toEqual([])

      await evaluate(page, 'video.pause()')
      const playlist = thirdPartyRequests.find((url) => url.endsWith('/index.m3u8')) ?? ''
      expect(playlist).toMatch(new RegExp(`^${started.cdn}/local/\\d+/[\\w-]{43}/clips/sunrise/index.m3u8$`))
      await eventually(async () => expect((await fetch(playlist)).status).toBe(410))
      // The last segment is not loaded yet, so the player requests it with the expired link.
      await evaluate(page, 'video.currentTime = 8, void video.play()')
      await page.getByText('The link to this video has expired.').waitFor()
      await page.getByRole('button', { name: 'Play again' }).click()
      await hasPlayed(page, 10)
      expect(await page.getByText('has expired').count()).toBe(0)
      await expectOneView('expiring')
    },
  )

  test.skipIf(isSkipped)('reports its watch time when it is closed, and its view then qualifies', async () => {
    await postAsset(started, { id: 'watched', title: 'The watched clip', url: 'clips/sunrise/index.m3u8', duration: 4 })
    await using opened = await open()
    const { page } = opened
    await page.reload()
    const [response] = await Promise.all([
      page.waitForResponse((response) => response.url().includes('/play/asset/watched')),
      clickPlay(page, 'The watched clip'),
    ])
    const explanation = async () =>
      (await fetch(`${started.play.url}/views/${response.headers()['view-id']}`)).json() as Promise<ViewExplanation>
    await hasPlayed(page, 3)
    // Play so slowly that the next report is not due before the video is closed.
    await evaluate(page, 'video.playbackRate = 0.1')
    await eventually(async () =>
      expect(await explanation()).toMatchObject({ verdict: 'pending', secondsWatched: null }),
    )
    await page.locator('video').focus()
    await page.keyboard.press('Escape')
    await eventually(async () =>
      expect(await explanation()).toMatchObject({ verdict: 'qualified', secondsRequired: 2 }),
    )
    expect((await explanation()).secondsWatched).toBeLessThan(10)
  })

  test.skipIf(isSkipped)('gets only one view if its button is pressed three times', async () => {
    await using opened = await open()
    const { page } = opened
    const pressed = Promise.withResolvers<void>()
    await page.route('**/play/asset/**', async (route) => {
      await pressed.promise
      await route.continue()
    })
    await cardOf(page, 'The impatient clip').locator('.play').click({ clickCount: 3, delay: 30 })
    pressed.resolve()
    await hasPlayed(page, 1)
    await expectOneView('impatient')
    await clickPlay(page, 'The impatient clip')
    await eventually(async () => expect(await viewsOf('impatient')).toBe(2))
  })

  describe.skipIf(edge === 'nginx')('independently of the edge,', () => {
    test.skipIf(isSkipped)('shows that the CDN is unreachable, and plays after the CDN is back up', async () => {
      await using opened = await open()
      const { page } = opened
      await page.route(`${started.cdn}/**`, (route) => route.abort())
      await clickPlay(page, 'The offline clip')
      await page.getByText(/^The video cannot be loaded: 127\.0\.0\.1:\d+ is unreachable/).waitFor()
      await page.unroute(`${started.cdn}/**`)
      await page.getByRole('button', { name: 'Play again' }).click()
      await hasPlayed(page, 0)
      await expectOneView('offline')
    })

    test.skipIf(isSkipped)('is retried as the same view if the first attempt got no response', async () => {
      await using opened = await open()
      const { page } = opened
      await page.route('**/play/asset/**', async (route) => {
        await route.fetch()
        await route.abort()
      })
      await clickPlay(page, 'It')
      await page.getByText('It was not played: the edge is unreachable.').waitFor()
      await page.unroute('**/play/asset/**')
      await clickPlay(page, 'It')
      await page.getByText('It: 200 OK').waitFor()
      await expectOneView('123')
    })

    test.skipIf(isSkipped)('stops on Escape, and returns the focus to the button that was pressed', async () => {
      await using opened = await open()
      const { page } = opened
      await cardOf(page, 'The closed clip').locator('.play').focus()
      await page.keyboard.press('Enter')
      await hasPlayed(page, 0)
      await page.locator('video').focus()
      await page.keyboard.press('Escape')
      expect(await page.locator('video').count()).toBe(0)
      expect(await page.evaluate('document.activeElement.ariaLabel')).toBe('Play The closed clip')
    })

    test.skipIf(isSkipped)('can be paused before it starts, and then played again', async () => {
      await using opened = await open()
      const { page } = opened
      await page.route(`${started.cdn}/**`, () => {})
      await Promise.all([page.waitForRequest(`${started.cdn}/**`), clickPlay(page, 'The paused clip')])
      await evaluate(page, 'video.pause()')
      await page.unroute(`${started.cdn}/**`)
      await clickPlay(page, 'The paused clip')
      await hasPlayed(page, 0)
    })

    test.skipIf(isSkipped)('is played natively if the browser has no MediaSource', async () => {
      await using opened = await open()
      const { page } = opened
      await page.addInitScript('delete window.MediaSource; delete window.ManagedMediaSource')
      await page.reload()
      await clickPlay(page, 'The native clip')
      await hasPlayed(page, 0)
      expect(await page.locator('video').getAttribute('src')).toMatch(/^http/)
    })

    test.skipIf(isSkipped)('plays muted if the browser does not allow sound, until it is unmuted', async () => {
      await using strict = await startBrowser(['--autoplay-policy=document-user-activation-required'])
      const page = await strict.newPage()
      // A script presses Play without a user gesture. Playwright's clicks are gestures, so the test does not click.
      await page.addInitScript(`const timer = setInterval(() => {
        const button = document.querySelector('[aria-label="Play The muted clip"]')
        if (button) { clearInterval(timer); button.click() }
      }, 50)`)
      await Promise.all([page.waitForRequest(/\.m4s$/), page.goto(started.play.url)])
      await page.getByRole('button', { name: 'Turn on the sound' }).waitFor()
      await hasPlayed(page, 0)
      expect(await evaluate(page, 'video.muted')).toBe(true)
      await page.getByRole('button', { name: 'Turn on the sound' }).click()
      expect(await evaluate(page, '[video.muted, video.paused]')).toEqual([false, false])
    })

    test.skipIf(isSkipped)('shows where and until when it may be played, and why it is not available', async () => {
      const rights = { until: '2020-01-01T00:00:00Z', countries: ['AT', 'CH', 'DE', 'LI'] }
      await postAsset(started, { id: 'licensed', title: 'Licensed', url: 'clips/orbits/index.m3u8', rights })
      await using opened = await open()
      const { page } = opened
      const badges = cardOf(page, 'Licensed').getByRole('list', { name: 'Rights' }).getByRole('listitem')
      expect(await badges.allTextContents()).toEqual(['AT, CH, DE +1', 'until Jan 1, 2020'])
      expect(await cardOf(page, 'Terminator').getByRole('list').count()).toBe(0)
      await clickPlay(page, 'Licensed')
      await page
        .getByText('Licensed is not available: its rights have expired and it is not licensed in your country.')
        .waitFor()
    })

    test.skipIf(isSkipped).each([1_280, 400])(
      'at %d px, has no serious axe violations in the player or its notice',
      async (width) => {
        await using opened = await open({ viewport: { width, height: 780 }, reducedMotion: 'reduce' })
        const { page } = opened
        await clickPlay(page, 'The shown clip')
        await hasPlayed(page, 0)
        expect(await violations(page)).toEqual([])
        await page.route(`${started.cdn}/**`, (route) => route.abort())
        await clickPlay(page, 'The shown clip')
        await page.getByRole('button', { name: 'Play again' }).waitFor()
        expect(await violations(page)).toEqual([])
        expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(width)
      },
    )
  })
})

/** Waits until the playback position exceeds `seconds`. */
function hasPlayed(page: Page, seconds: number): Promise<void> {
  const position = () => evaluate(page, 'video?.currentTime')
  return eventually(async () => expect(await position()).toBeGreaterThan(seconds))
}

/** Evaluates an expression in which `video` is the video element. */
function evaluate(page: Page, expression: string): Promise<unknown> {
  return page.evaluate(`(video => (${expression}))(document.querySelector('video'))`)
}
