import type { BrowserContextOptions, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Series, SeriesStep } from '../shared/contracts/series.ts'
import { hasChromium } from './harness/browser.ts'
import type { ConsolePage } from './harness/console-page.ts'
import { type ConsoleSystem, startConsoleSystem } from './harness/console-system.ts'
import { eventually } from './harness/eventually.ts'
import { natsVersion } from './harness/nats-server.ts'
import { play, views } from './harness/plays.ts'
import { publishRaw } from './harness/raw-messages.ts'

const MINUTE = 60_000
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR
const STEP_MS: Record<SeriesStep, number> = { minute: MINUTE, hour: HOUR, day: DAY }

describe.skipIf(!natsVersion || !hasChromium)('in the chart of views on the console,', () => {
  let system: ConsoleSystem
  beforeAll(async () => {
    system = await startConsoleSystem()
    await publishRaw(system.nats, [JSON.stringify(past)])
    await eventually(async () => expect(await views(system.reporting.url, 'asset', '123')).toBe(past.length))
  })
  afterAll(() => system?.[Symbol.asyncDispose]())

  test.each([
    ['5 min', 5, ['1 view, 1 qualified, 0 other']],
    ['1 hour', 60, ['3 views, 2 qualified, 1 other', '1 view, 1 qualified, 0 other']],
    ['24 hours', 24, ['2 views, 1 qualified, 1 other']],
    ['30 days', 30, ['1 view, 1 qualified, 0 other', '4 views, 4 qualified, 0 other']],
  ])(
    'the range "%s" shows the views, the qualified views and the other views of each step',
    async (range, count, expected) => {
      await using opened = await system.open()
      const { page } = opened
      await showRange(page, range, count)
      const steps = await readSteps(page)
      expect(steps.length).toBeGreaterThanOrEqual(count)
      const numbers = steps.map((text) => text.split(', ').slice(-3).join(', '))
      expect(numbers.filter((text) => !text.startsWith('0 views')).slice(0, expected.length)).toEqual(expected)
      expect(steps.filter((text) => text.includes(', so far, '))).toEqual(steps.slice(-1))
      expect(opened.errors).toEqual([])
    },
  )

  test('the pointer selects the step under it; otherwise, the totals of all steps are shown', async () => {
    await using opened = await openWith(toSeries('hour', [1, 0, 1_234_567_890, 7]))
    const { page } = opened
    await showRange(page, '24 hours', 4)
    const all = ['Per hour, last 24 hours', '1,234,567,898 views', '617,283,948 qualified', '617,283,950 other']
    await expectReadout(page, all)
    const { x, y, width, height } = (await page.locator('#chart .u-over').boundingBox()) ?? expect.fail()
    await page.mouse.move(x + width * 0.6, y + height / 2)
    const numbersOfThird = ['1,234,567,890 views', '617,283,945 qualified', '617,283,945 other']
    await expectReadout(page, ['Nov 20, 23:00 – Nov 21, 00:00', ...numbersOfThird])
    await page.mouse.move(0, 0)
    await expectReadout(page, all)
  })

  test.each([
    ['1 hour', 'minute', 'Asia/Kolkata', '02:30 – 02:31'],
    ['24 hours', 'hour', 'Asia/Kolkata', 'Nov 21, 02:30 – 03:30'],
    ['30 days', 'day', 'America/Los_Angeles', 'Fri, Nov 20 (UTC)'],
  ] as const)(
    'the steps of the range "%s" are labelled in local time, except for days, which are in UTC',
    async (range, step, timezoneId, text) => {
      await using opened = await openWith(toSeries(step, [1, 2]), { timezoneId })
      const { page } = opened
      await showRange(page, range, 2)
      expect(await readSteps(page, 1)).toEqual([`${text}, 1 view, 0 qualified, 1 other`])
    },
  )

  test('the last minute of a day is labelled without a date', async () => {
    await using opened = await openWith(toSeries('minute', Array(180).fill(1)))
    const { page } = opened
    await showRange(page, '1 hour', 60)
    // The real series has 60 steps too, so waiting for 60 steps does not ensure that the page shows the fake series.
    await eventually(async () => {
      await page.locator('#chart').press('End')
      expect(await readout(page)).toBe('23:59 – 00:00, so far, 1 view, 0 qualified, 1 other')
    })
  })

  test('a selected step stays selected when a new step begins', async () => {
    await using opened = await openWith(toSeries('minute', [1, 2, 3, 4]))
    const { page } = opened
    await showRange(page, '1 hour', 4)
    expect((await readSteps(page, 3)).at(-1)).toBe('21:02 – 21:03, 3 views, 1 qualified, 2 other')
    const { step, since, points } = toSeries('minute', [1, 2, 3, 4, 5])
    await page.route('**/series?*', (route) => route.fulfill({ json: { step, since, points: points.slice(1) } }))
    await eventually(async () => expect(await page.locator('#chart').getAttribute('aria-valuenow')).toBe('2'))
    expect(await readout(page)).toBe('21:02 – 21:03, 3 views, 1 qualified, 2 other')
    await page.keyboard.press('ArrowRight')
    expect(await readout(page)).toBe('21:03 – 21:04, 4 views, 2 qualified, 2 other')
  })

  test('a step that reporting no longer keeps is shown without numbers', async () => {
    const series = toSeries('day', [0, 3])
    await using opened = await openWith({ ...series, since: series.points[1]?.at ?? null })
    const { page } = opened
    await showRange(page, '30 days', 2)
    expect(await readSteps(page, 1)).toEqual(['Fri, Nov 20 (UTC), – views, – qualified, – other'])
    await page.keyboard.press('Escape')
    expect(await numbers(page)).toEqual(['3 views', '1 qualified', '2 other'])
  })

  test("a click on a card's numbers shows its asset over time, by hour and by day", async () => {
    await using opened = await system.open()
    const { page } = opened
    await page.getByRole('button', { name: /: show It over time$/ }).click()
    await page.locator('#timeline-asset').getByText('It', { exact: true }).waitFor()
    await eventually(async () => expect(await numbers(page)).toEqual(['6 views', '4 qualified', '2 other']))
    expect(await page.evaluate('document.activeElement.id')).toBe('chart')
    expect(await rangeOf(page, '1 hour').isDisabled()).toBe(true)
    await rangeOf(page, '30 days').check()
    await eventually(async () => expect(await numbers(page)).toEqual(['11 views', '9 qualified', '2 other']))
    await page.getByRole('button', { name: 'All assets' }).click()
    await showRange(page, '1 hour', 60)
  })

  test('new plays are added; while reporting is down, the chart is marked as outdated, and afterwards it catches up', async () => {
    await using opened = await system.open()
    const { page } = opened
    await showRange(page, '30 days', 30)
    const before = await views(system.reporting.url, 'asset', '456')
    const expectViews = (count: number) =>
      eventually(async () => expect((await numbers(page))[0]).toBe(`${past.length + count} views`))
    await expectViews(before)
    await play(system.play.url, '456', 'x')
    await expectViews(before + 1)
    expect(await page.locator('#timeline-age').textContent()).toBe('')

    await system.reporting.signal('SIGSTOP')
    await play(system.play.url, '456', 'y')
    await page.getByText(/^Not updated since \d\d:\d\d:\d\d. Retrying…$/).waitFor()
    expect((await numbers(page))[0]).toBe(`${past.length + before + 1} views`)
    await rangeOf(page, '24 hours').check()
    await page.getByText('Unavailable right now. Retrying…').waitFor()
    expect(await numbers(page)).toEqual(['– views', '– qualified', '– other'])
    await rangeOf(page, '30 days').check()

    await system.reporting.start()
    await expectViews(before + 2)
    expect(await page.locator('#timeline-age').textContent()).toBe('')
  })

  test('a hidden page does not poll the series', async () => {
    await using opened = await system.open()
    const { page } = opened
    await showRange(page, '30 days', 30)
    let requests = 0
    await page.route('**/series?*', (route) => {
      requests += 1
      return route.continue()
    })
    const setHidden = (isHidden: boolean) =>
      page.evaluate(`Object.defineProperty(document, 'hidden', { value: ${isHidden}, configurable: true })
        document.dispatchEvent(new Event('visibilitychange'))`)
    await setHidden(true)
    await page.waitForTimeout(500)
    requests = 0
    await page.waitForTimeout(2_500)
    expect(requests).toBe(0)
    await setHidden(false)
    await eventually(() => expect(requests).toBeGreaterThan(0))
  })

  /** Opens the console, and serves it this series for every range. */
  async function openWith(series: Series, options?: BrowserContextOptions): Promise<ConsolePage> {
    const opened = await system.open({ timezoneId: 'UTC', ...options })
    await opened.page.route('**/series?*', (route) => route.fulfill({ json: series }))
    return opened
  }
})

/** Plays of the asset 123 in chronological order. Some are repeated by the same user after 10 s. */
const past = [
  ...[toEvent('a', 5 * DAY), ...['a', 'b', 'c', 'd'].map((user) => toEvent(user, 3 * DAY))],
  ...[toEvent('a', 2 * HOUR), toEvent('a', 2 * HOUR - 10_000)],
  ...[toEvent('a', 10 * MINUTE), toEvent('a', 10 * MINUTE - 10_000), toEvent('b', 10 * MINUTE - 10_000)],
  toEvent('a', MINUTE),
]

/** The CloudEvent for a play, `before` milliseconds before the start of this minute. */
function toEvent(userId: string, before: number): object {
  const time = new Date(Math.floor(Date.now() / MINUTE) * MINUTE - before).toISOString()
  const id = `${userId}-${before}`
  return { specversion: '1.0', id, source: '/past', type: 'video.viewed', time, data: { assetId: '123', userId } }
}

/** A series that starts at 21:00 UTC, or at midnight if its steps are days. Half of the views are qualified. */
function toSeries(step: SeriesStep, counts: number[]): Series {
  const start = Date.parse(step === 'day' ? '2026-11-20T00:00:00Z' : '2026-11-20T21:00:00Z')
  const points = counts.map((views, n) => {
    return { at: new Date(start + n * STEP_MS[step]).toISOString(), views, qualified: Math.floor(views / 2) }
  })
  return { step, since: null, points }
}

/** The option that selects a range in the panel with the views over time. */
function rangeOf(page: Page, range: string) {
  return page.locator('#timeline').getByLabel(range)
}

/** Shows a range, and waits until it is loaded. */
async function showRange(page: Page, range: string, count: number): Promise<void> {
  await rangeOf(page, range).check()
  await eventually(async () => expect(await page.locator('#chart').getAttribute('aria-valuemax')).toBe(String(count)))
}

/**
 * Selects one step after another with the keyboard, and returns each as a screen reader announces it.
 * @param count the number of steps, starting with the first; by default all, including a step that begins meanwhile
 */
async function readSteps(page: Page, count = Number.POSITIVE_INFINITY): Promise<string[]> {
  const steps: string[] = []
  await page.locator('#chart').focus()
  let isLast = false
  while (steps.length < count && !isLast) {
    await page.keyboard.press(steps.length === 0 ? 'Home' : 'ArrowRight')
    const step = await page.locator('#chart').evaluate(({ ariaValueText, ariaValueNow, ariaValueMax }) => {
      return { text: ariaValueText, isLast: ariaValueNow === ariaValueMax }
    })
    steps.push(toPlain(step.text))
    isLast = step.isLast
  }
  return steps
}

/** The selected step and its numbers, as a screen reader announces them. */
async function readout(page: Page): Promise<string> {
  return toPlain(await page.locator('#chart').getAttribute('aria-valuetext'))
}

function expectReadout(page: Page, texts: string[]): Promise<void> {
  return eventually(async () => expect([await caption(page), ...(await numbers(page))]).toEqual(texts))
}

async function caption(page: Page): Promise<string> {
  return toPlain(await page.locator('#chart-caption').textContent())
}

async function numbers(page: Page): Promise<string[]> {
  return (await page.locator('#chart-numbers li').allTextContents()).map(toPlain)
}

/** Replaces the thin spaces in times with ordinary spaces. */
function toPlain(text: string | null): string {
  return (text ?? '').replaceAll(/\s/g, ' ')
}
