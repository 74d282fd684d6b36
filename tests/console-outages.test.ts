import type { BrowserContextOptions, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { hasChromium } from './harness/browser.ts'
import { cardViews, clickPlay, componentOf } from './harness/console-page.ts'
import { type ConsoleSystem, startConsoleSystem } from './harness/console-system.ts'
import { eventually } from './harness/eventually.ts'
import { natsVersion } from './harness/nats-server.ts'
import { WITHOUT_CHECKPOINT } from './harness/system.ts'

/** Twice the 2 s within which the console shows an outage or a recovery on an idle machine. */
const SHOWN_MS = 4_000

describe.skipIf(!natsVersion || !hasChromium)('on the console,', () => {
  let system: ConsoleSystem
  beforeAll(async () => {
    system = await startConsoleSystem({ CATALOGUE_TTL: '1s', ...WITHOUT_CHECKPOINT })
  })
  afterAll(() => system?.[Symbol.asyncDispose]())

  const open = (options?: BrowserContextOptions) => system.open(options)

  test('a crash of metadata and its recovery are shown promptly, and plays continue in between', async () => {
    await using opened = await open()
    const { page } = opened
    await clickPlay(page, 'Terminator')
    await system.metadata.signal('SIGKILL')
    await expectState(page, 'metadata', 'down')
    expect(await componentOf(page, 'metadata').getAttribute('data-degraded')).toBe('')
    await page.getByText('metadata down', { exact: true }).waitFor()
    expect(await cardViews(page, 'Terminator')).toBeGreaterThan(0)

    await eventually(async () => {
      await clickPlay(page, 'Terminator')
      await page.getByText('title, genre and summary come from play’s cache').waitFor({ timeout: 500 })
    })
    const reloaded = page.waitForRequest(/\/catalogue/, { timeout: 10_000 })
    await system.metadata.start()
    await expectState(page, 'metadata', 'up')
    await page.getByText('metadata is back up').waitFor({ state: 'attached' })
    await reloaded
  })

  test('a hung reporting service is shown promptly, and views recorded in the meantime are counted afterwards', async () => {
    await using opened = await open()
    const { page } = opened
    const before = await cardViews(page, 'It')
    await system.reporting.signal('SIGSTOP')
    await expectState(page, 'reporting', 'down')
    await clickPlay(page, 'It')
    await page.getByText('reporting is unavailable: there are no counts.').waitFor()
    await system.reporting.start()
    await expectState(page, 'reporting', 'up')
    await eventually(async () => expect(await cardViews(page, 'It')).toBe(before + 1))
  })

  test('after reporting restarts, the page shows its counts, even if they are lower', async () => {
    await using opened = await open()
    const { page } = opened
    const before = await cardViews(page, 'Terminator')
    // Without a checkpoint, a view that bypasses the log does not survive the restart.
    await fetch(`${system.reporting.url}/events/asset/456/user/bypass`, { method: 'POST' })
    await eventually(async () => expect(await cardViews(page, 'Terminator')).toBe(before + 1))
    await system.reporting.signal('SIGKILL')
    await expectState(page, 'reporting', 'down')
    await system.reporting.start()
    await eventually(async () => expect(await cardViews(page, 'Terminator')).toBe(before))
  })

  test.each(['queue-listener', 'cdnurl'] as const)(
    'a crash of %s and its recovery are shown promptly',
    async (name) => {
      const service = name === 'cdnurl' ? system.cdnurl : system.listener
      await using opened = await open()
      await service.signal('SIGKILL')
      await expectState(opened.page, name, 'down')
      await service.start()
      await expectState(opened.page, name, 'up')
    },
  )

  test('a NATS crash is shown promptly, and so is the outbox backlog', async () => {
    await using opened = await open()
    const { page } = opened
    await system.nats.signal('SIGKILL')
    await expectState(page, 'events', 'down')
    await clickPlay(page, 'It')
    await page.getByText('the view is in the outbox').waitFor()
    await eventually(async () => expect(await componentOf(page, 'outbox').textContent()).toContain('1 pending'))
    await system.nats.start()
    await expectState(page, 'events', 'up')
  })

  test('an edge crash is shown promptly, and the page recovers with the edge', async () => {
    await using opened = await open()
    const { page } = opened
    await system.play.signal('SIGKILL')
    await expectState(page, 'play', 'down')
    await clickPlay(page, 'It')
    await page.getByText('It was not played: the edge is unreachable.').waitFor()
    await system.play.start()
    await expectState(page, 'play', 'up')
    await page.getByText('Live', { exact: true }).waitFor()
    const before = await cardViews(page, 'It')
    await clickPlay(page, 'It')
    await eventually(async () => expect(await cardViews(page, 'It')).toBe(before + 1))
  })

  test('while the edge is down, services that were down before are not announced as recovered', async () => {
    await using opened = await open()
    const { page } = opened
    const announced = () => page.locator('#announcement').textContent()
    await system.metadata.signal('SIGKILL')
    await expectState(page, 'metadata', 'down')
    await system.play.signal('SIGKILL')
    await expectState(page, 'metadata', 'unknown')
    expect(await announced()).toBe('play is down')
    await system.metadata.start()
    await system.play.start()
    await expectState(page, 'metadata', 'up')
    expect(await announced()).toContain('metadata is back up')
  })

  test('after a status response that it cannot display, the page reports an error and polls again', async () => {
    await using opened = await open()
    const { page, errors } = opened
    await page.route('**/status', (route) => route.fulfill({ json: {} }), { times: 1 })
    await eventually(() => expect(errors).toEqual([expect.stringContaining('reporting')]))
    await page.waitForResponse('**/status')
  })

  test('the controls are reloaded after they fail to load', async () => {
    await using opened = await open()
    const { page } = opened
    await page.route('**/controls/controls.js', (route) => route.abort(), { times: 1 })
    await page.reload()
    const controls = page.locator('#controls-body')
    await controls.getByText('The controls did not load. Retrying…').waitFor()
    await controls.locator('.controls-reason').waitFor()
  })
})

function expectState(page: Page, name: string, state: string): Promise<void> {
  return eventually(
    async () => expect(await componentOf(page, name).locator('.state').textContent()).toContain(state),
    SHOWN_MS,
  )
}
