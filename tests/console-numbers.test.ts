import { setTimeout as delay } from 'node:timers/promises'
import type { Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Audit } from '../shared/contracts/audit.ts'
import type { LiveChanges, LiveSnapshot } from '../shared/contracts/live.ts'
import type { SystemStatus } from '../shared/contracts/system-status.ts'
import { hasChromium } from './harness/browser.ts'
import { cardOf, clickPlay, toNumber } from './harness/console-page.ts'
import { type ConsoleSystem, startConsoleSystem } from './harness/console-system.ts'
import { eventually } from './harness/eventually.ts'
import { natsVersion } from './harness/nats-server.ts'
import { getJson, play } from './harness/plays.ts'

describe.skipIf(!natsVersion || !hasChromium)('on the console,', () => {
  let system: ConsoleSystem
  beforeAll(async () => {
    system = await startConsoleSystem()
  })
  afterAll(() => system?.[Symbol.asyncDispose]())

  const open = () => system.open()

  test('views, qualified views and viewers are shown, and are updated after each play', async () => {
    for (const user of ['a', 'a', 'a', 'b']) await play(system.play.url, '123', user)
    await using opened = await open()
    const { page } = opened
    const expectNumbers = (it: string[], a: string[]) =>
      eventually(async () => {
        expect(await rowOf(page, 'Most viewed', 'It')).toEqual(it)
        expect(await rowOf(page, 'Most active users', 'a')).toEqual(a)
        expect(await numbersOnCard(page, 'It')).toEqual(it)
        const { views, qualified } = await audited()
        expect(await numbers(page, '#total-views, #qualified-views')).toEqual([views, qualified])
      })
    await expectNumbers(['4 views', '2 qualified', '2 viewers'], ['3 views', '1 qualified'])
    await play(system.play.url, '123', 'a')
    await play(system.play.url, '123', 'c')
    await expectNumbers(['6 views', '3 qualified', '3 viewers'], ['4 views', '1 qualified'])
  })

  test('a page that is opened while nobody plays shows all numbers', async () => {
    await using quiet = await open()
    await quiet.page.waitForTimeout(2_500)
    await using opened = await open()
    await eventually(async () => {
      const { views, qualified } = await audited()
      expect(await numbers(opened.page, '#total-views, #qualified-views')).toEqual([views, qualified])
    })
  })

  test('a heartbeat without changes does not change the numbers', async () => {
    const heartbeat = { views: 3, assets: {}, users: {}, seconds: {} }
    await using opened = await openWithLive(snapshot, heartbeat)
    const { page } = opened
    await eventually(async () => {
      expect(await numbers(page, '#total-views, #qualified-views')).toEqual([3, 2])
      expect(await rowOf(page, 'Most viewed', 'It')).toEqual(['3 views', '2 qualified', '1 viewers'])
    })
  })

  test('only the views are shown if reporting runs a release without view rules', async () => {
    const old = {
      views: 3,
      top: { assets: [{ id: '123', views: 3 }], users: [{ id: '8', views: 3 }] },
      seconds: {},
    }
    await using opened = await openWithLive(old, { views: 4, assets: { '123': 4 }, users: { '9': 1 }, seconds: {} })
    const { page, errors } = opened
    await eventually(async () => expect(await rowOf(page, 'Most viewed', 'It')).toEqual(['4 views']))
    expect(await rowOf(page, 'Most active users', '9')).toEqual(['1 views'])
    expect(await page.locator('.columns').count()).toBe(0)
    expect(await page.locator('#total-views').textContent()).toBe('4')
    expect(await page.locator('#qualified-views').isVisible()).toBe(false)
    expect(errors).toEqual([])
  })

  test('the audit accounts for every view', async () => {
    await fetch(`${system.reporting.url}/events/asset/456/user/bypass`, { method: 'POST' })
    await using opened = await open()
    const { page } = opened
    await eventually(async () => {
      const { views, qualified, notQualified, direct, pending, retried, rejected } = await audited()
      const [sum, others] = [await terms(page, 'sum'), await terms(page, 'others')]
      expect(sum).toEqual({ views, qualified, repeat: notQualified.repeat, direct, pending })
      expect(others).toEqual({ 'waiting in the log': 0, 'in the outbox': 0, retried, rejected })
      expect(direct).toBe(1)
      expect(views).toBe(qualified + Number(notQualified.repeat) + direct + pending)
    })
    expect(await verdict(page)).toBe('Yes: every view is accounted for.')
  })

  test('while the log is down, the audit shows the views in the outbox; while reporting is down, the audit is shown as unknown', async () => {
    await using opened = await open()
    const { page } = opened
    await system.nats.signal('SIGKILL')
    await eventually(async () => {
      await clickPlay(page, 'It')
      expect((await terms(page, 'others'))['in the outbox']).toBeGreaterThan(0)
    })
    await system.nats.start()
    await eventually(async () => expect((await terms(page, 'others'))['in the outbox']).toBe(0))

    await system.reporting.signal('SIGSTOP')
    await eventually(async () => expect(await verdict(page)).toMatch('Unknown while reporting is down'))
    expect(await page.locator('#audit-sum').textContent()).toBe('')
    await system.reporting.start()
    await eventually(async () => expect(await verdict(page)).toMatch('Yes'))
  })

  test('while reporting hangs, assets can be played and the edge is not shown as unreachable', async () => {
    await using opened = await open()
    const { page } = opened
    await system.reporting.signal('SIGSTOP')
    for (let n = 0; n < 5; n += 1) {
      const played = page.waitForResponse((response) => response.url().includes('/play/asset/'))
      await clickPlay(page, 'It')
      expect((await played).status()).toBe(200)
      await page.getByText(/^It: 200 OK/).waitFor()
      expect(await page.locator('#overall-text').textContent()).not.toBe('Edge unreachable')
    }
    await system.reporting.start()
    await page.getByText('All services up').waitFor()
  })

  test('a slow edge is not shown as unreachable', async () => {
    await using opened = await open()
    const { page } = opened
    await page.route('**/status', async (route) => {
      await delay(1_500)
      await route.continue()
    })
    for (let n = 0; n < 2; n += 1) {
      await (await page.waitForResponse('**/status')).finished()
      expect(await page.locator('#overall-text').textContent()).toBe('All services up')
    }
    await page.unrouteAll({ behavior: 'ignoreErrors' })
  })

  test('numbers that do not add up are flagged, and the page still works if the status has no audit', async () => {
    await using opened = await open()
    const { page, errors } = opened
    const status = (await getJson(`${system.play.url}/status`)) as SystemStatus
    const current = await audited()
    const flagged = 'No! Run npm run audit to find the difference.'
    for (const wrong of [{ pending: 1_000 }, { pending: -1, qualified: current.qualified + 1 }]) {
      await eventually(async () => expect(await verdict(page)).toMatch('Yes'))
      const audit = { ...current, ...wrong }
      await page.route('**/status', (route) => route.fulfill({ json: { ...status, audit } }))
      await eventually(async () => expect(await verdict(page)).toBe(flagged))
      expect(await terms(page, 'sum')).toMatchObject(wrong)
      await page.unroute('**/status')
    }
    const { audit: _, ...old } = status
    await page.route('**/status', (route) => route.fulfill({ json: old }))
    await eventually(async () => expect(await verdict(page)).toMatch('Unknown'))
    expect(errors).toEqual([])
  })

  async function audited(): Promise<Audit> {
    return (await getJson(`${system.reporting.url}/events/audit`)) as Audit
  }

  /** Opens the console, and serves it these live counts. */
  async function openWithLive(snapshot: LiveSnapshot, changes: LiveChanges) {
    const opened = await open()
    const body = [
      `event: snapshot\ndata: ${JSON.stringify(snapshot)}\n\n`,
      `event: changes\ndata: ${JSON.stringify(changes)}\n\n`,
    ].join('')
    await opened.page.route('**/live', (route) => route.fulfill({ contentType: 'text/event-stream', body }))
    await opened.page.reload()
    return opened
  }
})

const snapshot: LiveSnapshot = {
  views: 3,
  qualified: 2,
  top: {
    assets: [{ id: '123', views: 3, qualified: 2, viewers: 1 }],
    users: [{ id: '8', views: 3, qualified: 2 }],
  },
  seconds: {},
}

async function numbersOnCard(page: Page, title: string): Promise<string[]> {
  const text = await cardOf(page, title).locator('.views').textContent()
  return text?.replace(/:.*/, '').match(/[\d,–]+ \w+/g) ?? []
}

/** The numbers of a row in a top list, as read by a screen reader. */
function rowOf(page: Page, list: string, name: string): Promise<string[]> {
  const row = page
    .getByRole('region', { name: list })
    .locator('li')
    .filter({ has: page.getByTitle(name, { exact: true }) })
  return row.locator(':scope > :not(.name)').allTextContents()
}

async function numbers(page: Page, selector: string): Promise<number[]> {
  return (await page.locator(selector).allTextContents()).map(toNumber)
}

/** The numbers in the audit, by label. */
async function terms(page: Page, part: 'sum' | 'others'): Promise<Record<string, number>> {
  const texts = (tag: string) => page.locator(`#audit-${part} ${tag}`).allTextContents()
  const counts = await texts('dd')
  return Object.fromEntries((await texts('dt')).map((label, n) => [label, toNumber(counts[n] ?? '')]))
}

function verdict(page: Page): Promise<string | null> {
  return page.locator('#audit-verdict').textContent()
}
