import type { Browser, BrowserContextOptions, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { hasChromium, startBrowser } from './harness/browser.ts'
import { openConsole, partOf, press, viewsOn } from './harness/console-page.ts'
import { eventually } from './harness/eventually.ts'
import { natsVersion } from './harness/nats-server.ts'
import { play } from './harness/plays.ts'
import { type System, startSystem } from './harness/system.ts'

/** Within this a part's death and return are to be seen. */
const SEEN_MS = 2_000

describe.skipIf(!natsVersion || !hasChromium)('on the console', { timeout: 60_000 }, () => {
  let system: System
  let browser: Browser
  beforeAll(async () => {
    ;[system, browser] = await Promise.all([startSystem({ CATALOGUE_TTL: '1s' }), startBrowser()])
    await eventually(async () => expect((await play(system.play.url, '456', 'warm')).status).toBe(200))
  }, 60_000)
  afterAll(async () => {
    await browser?.close()
    await system?.[Symbol.asyncDispose]()
  })

  const open = (options?: BrowserContextOptions) => openConsole(browser, system.play.url, options)

  test('a killed metadata is seen within two seconds, plays go on without it, and its return is seen too', async () => {
    await using opened = await open()
    const { page } = opened
    await press(page, 'Terminator')
    await system.metadata.signal('SIGKILL')
    await expectState(page, 'metadata', 'down')
    expect(await partOf(page, 'metadata').getAttribute('data-degraded')).toBe('')
    await page.getByText('metadata down', { exact: true }).waitFor()
    expect(await viewsOn(page, 'Terminator')).toBeGreaterThan(0)

    await eventually(async () => {
      await press(page, 'Terminator')
      await page.getByText('title, genre and summary are as play last read them').waitFor({ timeout: 500 })
    })
    const listed = page.waitForRequest(/\/catalogue/, { timeout: 10_000 })
    await system.metadata.start()
    await expectState(page, 'metadata', 'up')
    await page.getByText('metadata is back').waitFor({ state: 'attached' })
    // It may have other assets now.
    await listed
  })

  test('a hanging reporting is seen within two seconds; views that were played meanwhile are counted after', async () => {
    await using opened = await open()
    const { page } = opened
    const before = await viewsOn(page, 'It')
    await system.reporting.signal('SIGSTOP')
    await expectState(page, 'reporting', 'down')
    await press(page, 'It')
    await page.getByText('reporting is away: there are no counts.').waitFor()
    await system.reporting.start()
    await expectState(page, 'reporting', 'up')
    await eventually(async () => expect(await viewsOn(page, 'It')).toBe(before + 1))
  })

  test('after a restart of reporting the page shows its counts, also those that fell', async () => {
    await using opened = await open()
    const { page } = opened
    const before = await viewsOn(page, 'Terminator')
    // What is counted beside the log is lost with the process.
    await fetch(`${system.reporting.url}/events/asset/456/user/passing`, { method: 'POST' })
    await eventually(async () => expect(await viewsOn(page, 'Terminator')).toBe(before + 1))
    await system.reporting.signal('SIGKILL')
    await expectState(page, 'reporting', 'down')
    await system.reporting.start()
    await eventually(async () => expect(await viewsOn(page, 'Terminator')).toBe(before), 15_000)
  })

  test.each(['queue-listener', 'cdnurl'] as const)(
    'a killed %s is seen within two seconds, and its return',
    async (name) => {
      const service = name === 'cdnurl' ? system.cdnurl : system.listener
      await using opened = await open()
      await service.signal('SIGKILL')
      await expectState(opened.page, name, 'down')
      await service.start()
      await expectState(opened.page, name, 'up')
    },
  )

  test('a killed NATS is seen within two seconds, and what waits in the outbox', async () => {
    await using opened = await open()
    const { page } = opened
    await system.nats.signal('SIGKILL')
    await expectState(page, 'events', 'down')
    await press(page, 'It')
    await page.getByText('the view waits on play’s disk').waitFor()
    await eventually(async () => expect(await partOf(page, 'outbox').textContent()).toContain('1 waiting'))
    await system.nats.start()
    await expectState(page, 'events', 'up', 5_000)
  })

  test('a killed edge is seen within two seconds, and the page goes on when it is back', async () => {
    await using opened = await open()
    const { page } = opened
    await system.play.signal('SIGKILL')
    await expectState(page, 'play', 'down')
    await press(page, 'It')
    await page.getByText('It was not played: the edge does not answer.').waitFor()
    await system.play.start()
    await expectState(page, 'play', 'up')
    await page.getByText('Live', { exact: true }).waitFor()
    const before = await viewsOn(page, 'It')
    await press(page, 'It')
    await eventually(async () => expect(await viewsOn(page, 'It')).toBe(before + 1))
  })
})

/** A state is said in words, not by a colour alone. */
function expectState(page: Page, name: string, state: string, limitMs = SEEN_MS): Promise<void> {
  return eventually(
    async () => expect(await partOf(page, name).locator('.state').textContent()).toContain(state),
    limitMs,
  )
}
