import type { Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { hasChromium } from './harness/browser.ts'
import { clickPlay, componentOf, openConsole, totalViews } from './harness/console-page.ts'
import { type ConsoleSystem, startConsoleSystem } from './harness/console-system.ts'
import { expectCurrent, readinessOf } from './harness/counting.ts'
import { eventually } from './harness/eventually.ts'
import { appendViews } from './harness/long-log.ts'
import { natsVersion } from './harness/nats-server.ts'
import { startService } from './harness/service-process.ts'
import { WITHOUT_CHECKPOINT } from './harness/system.ts'

const FILLER = 200_000

describe.skipIf(!natsVersion || !hasChromium)('on the console,', () => {
  let system: ConsoleSystem
  beforeAll(async () => {
    system = await startConsoleSystem({ MAX_LAG: '6s', ...WITHOUT_CHECKPOINT })
  })
  afterAll(() => system?.[Symbol.asyncDispose]())

  const open = () => system.open()

  test('the counts are shown as live only while updates arrive', async () => {
    await using opened = await open()
    const { page } = opened
    await system.reporting.signal('SIGSTOP')
    await expectConnection(page, 'Not live: no updates', 4_000)
    await system.reporting.start()
    await expectConnection(page, 'Live')
  })

  test('while queue-listener is down, the counts are not shown as live', async () => {
    await using opened = await open()
    const { page } = opened
    await system.listener.signal('SIGKILL')
    await expectConnection(page, 'Waiting for the log')
    await expectState(page, 'reporting', 'degraded', 'waiting for the log')
    await page.getByText('queue-listener down; reporting degraded', { exact: true }).waitFor()
    await system.listener.start()
    await expectConnection(page, 'Live')
    await page.getByText('All services up').waitFor()
  })

  test('a replay is shown with its progress, and the old total stays visible until the counts are current', async () => {
    const { nats, reporting, listener } = system
    await using opened = await open()
    const { page } = opened
    await appendViews(nats, FILLER)
    await eventually(async () => expect(await totalViews(page)).toBeGreaterThanOrEqual(FILLER))
    const before = await totalViews(page)
    await reporting.signal('SIGKILL')
    await reporting.start()
    await eventually(async () => {
      const { counting } = await readinessOf(reporting.url)
      expect(counting?.progress).toBeGreaterThan(0)
      expect(counting?.state).toBe('replaying')
    })
    await listener.signal('SIGSTOP')
    // A batch in flight may still be counted, which changes the progress.
    await eventually(async () => {
      const percent = Math.floor(Number((await readinessOf(reporting.url)).counting?.progress) * 100)
      await expectConnection(page, `Replaying, ${percent} %`, 2_000)
      await expectState(page, 'reporting', 'degraded', `replaying, ${percent} %`)
    })
    expect(await totalViews(page)).toBe(before)
    await listener.start()
    await expectConnection(page, 'Live')
    await expectCurrent(reporting.url)
    expect(await totalViews(page)).toBe(before)
  })

  test('a component with a backlog is not shown as up', async () => {
    await using opened = await open()
    const { page } = opened
    await system.nats.signal('SIGSTOP')
    await eventually(async () => {
      await clickPlay(page, 'It')
      await expectState(page, 'outbox', 'busy', /^\d+ pending$/, 1_000)
    })
    await system.nats.start()
    await expectState(page, 'outbox', 'up', 'up')

    await system.reporting.signal('SIGSTOP')
    await clickPlay(page, 'It')
    await expectState(page, 'queue-listener', 'degraded', /^stalled, \d+ pending$/, 15_000)
    await system.reporting.start()
    await expectState(page, 'queue-listener', 'up', 'up')
  })

  test('all instances of a service are shown, each with its state', async () => {
    const { env, metadata } = system
    await using second = await startService('metadata', env)
    await using edge = await startService('play', { ...env, METADATA_URL: `${metadata.url},${second.url}` })
    await using opened = await openConsole(system.browser, edge.url)
    const { page } = opened
    const instances = componentOf(page, 'metadata').locator('.instances li')
    const texts = (state: string) => [`up ${new URL(metadata.url).host}`, `${state} ${new URL(second.url).host}`]
    await eventually(async () => expect(await instances.allTextContents()).toEqual(texts('up')))
    await second.signal('SIGKILL')
    await eventually(async () => expect(await instances.allTextContents()).toEqual(texts('down')))
    await expectState(page, 'metadata', 'degraded', '1 of 2 up')
    await page.getByText('metadata degraded', { exact: true }).waitFor()
  })
})

function expectConnection(page: Page, text: string, limitMs?: number): Promise<void> {
  return eventually(async () => expect(await page.locator('#connection').textContent()).toBe(text), limitMs)
}

function expectState(page: Page, name: string, state: string, text: string | RegExp, limitMs?: number): Promise<void> {
  const component = componentOf(page, name)
  return eventually(async () => {
    expect(await component.locator('.state').first().textContent()).toMatch(text)
    expect(await component.getAttribute('data-state')).toBe(state)
  }, limitMs)
}
