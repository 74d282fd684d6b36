import type { Page, Route } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { History } from '../shared/contracts/history.ts'
import { hasChromium } from './harness/browser.ts'
import { type ConsolePage, componentOf, visitConsole } from './harness/console-page.ts'
import { type ConsoleSystem, startConsoleSystem } from './harness/console-system.ts'
import { eventually } from './harness/eventually.ts'
import { natsVersion } from './harness/nats-server.ts'
import { play } from './harness/plays.ts'

const NOW = Date.parse('2026-11-22T12:30:00Z')

describe.skipIf(!natsVersion || !hasChromium)('in the history on the console,', () => {
  let system: ConsoleSystem
  beforeAll(async () => {
    system = await startConsoleSystem({ CATALOGUE_TTL: '1h' })
  })
  afterAll(() => system?.[Symbol.asyncDispose]())

  test('an outage of reporting while no page is open is shown on the next visit, together with the restart', async () => {
    const read = async () => (await (await fetch(`${system.play.url}/history`)).json()) as History
    // The edge detects the restart of a process only if it has seen the previous process.
    await eventually(async () => expect((await read()).points.length).toBeGreaterThan(1))
    await system.reporting.signal('SIGKILL')
    await eventually(async () => {
      const { outages } = await read()
      expect(outages.some(({ service, state }) => service === 'reporting' && state === 'down')).toBe(true)
    })
    await system.reporting.start()

    await using opened = await system.open()
    const { page } = opened
    const item = page.getByRole('button', {
      name: /reporting was down for \d+ s(: .+)?, then restarted at \d\d:\d\d:\d\d$/,
    })
    await item.click()
    await eventually(async () => expect(await numbers(page)).toContain('reporting down'))
    expect(await page.evaluate('document.activeElement.id')).toBe('history-picture')
    expect(opened.errors).toEqual([])
  })

  test('a play highlights the lines to the services that it calls, but not the line to metadata after a cache hit; the outbox is drawn above the log', async () => {
    await using opened = await system.open()
    const { page } = opened
    const boxes = ['play', 'outbox', 'events'].map((name) => componentOf(page, name).boundingBox())
    const [edge, outbox, log] = await Promise.all(boxes)
    if (!edge || !outbox || !log) return expect.fail()
    expect(edge.y + edge.height).toBeLessThan(outbox.y)
    expect(outbox.y + outbox.height).toBeLessThan(log.y)
    const activeLines = () =>
      page.locator('.line[data-active]').evaluateAll((lines) => lines.map((line) => line.getAttribute('data-line')))
    await play(system.play.url, '123', 'caches')
    await eventually(async () => expect(await activeLines()).not.toContain('play metadata'))
    await eventually(async () => {
      await play(system.play.url, '123', 'hits')
      const active = await activeLines()
      expect(active).toEqual(expect.arrayContaining(['viewer play', 'play reporting', 'play events']))
      expect(active).not.toContain('play metadata')
    })
    const calls = page.getByRole('list', { name: 'Calls' }).locator('li')
    // The page shows only the calls of the last few seconds, so the test keeps playing.
    await eventually(async () => {
      await play(system.play.url, '123', 'hits')
      const texts = await calls.allTextContents()
      expect(texts).toContainEqual(expect.stringMatching(/^viewer to play: [\d.]+\/s · p99 ~[\d.]+ ms$/))
      expect(texts).toContain('play to metadata: 100% cached')
    })
    await eventually(async () => expect(await activeLines()).not.toContain('viewer play'))
  })

  test('the pointer and the arrow keys select a time, and the page shows the numbers and outages at that time; a gap has no data', async () => {
    await using opened = await visit()
    const { page } = opened
    expect(await readout(page)).toEqual(['Last 5 minutes', '2,000 views', '30 errors'])
    const picture = page.locator('#history-picture')
    await picture.focus()
    await page.keyboard.press('End')
    const last = ['12:29:59', '10 views/s', '0 errors/s', 'p99 ~12 ms', '0 in outbox', 'lag 0 ms']
    await eventually(async () => expect(await readout(page)).toEqual(last))
    expect(toPlain(await picture.getAttribute('aria-valuetext'))).toBe(last.join(', '))
    for (let n = 0; n < 20; n += 1) await page.keyboard.press('ArrowLeft')
    expect(await readout(page)).toEqual([
      ...['12:29:39', 'reporting down', '10 views/s', '1 errors/s', 'p99 ~12 ms', '0 in outbox', 'lag 1.2 s'],
    ])
    await page.keyboard.press('Escape')
    expect((await readout(page))[0]).toBe('Last 5 minutes')
    const { x, y, width } = (await picture.boundingBox()) ?? expect.fail()
    await page.mouse.move(x + width - 12, y + 20)
    expect((await readout(page))[0]).toBe('12:29:59')
    await page.mouse.move(x + width / 2, y + 20)
    expect((await readout(page)).slice(1)).toEqual(['no data'])
    expect(await page.locator('.history-gap').count()).toBe(1)
  })

  // In the 1-hour range, each step covers 15 s, and the last step is still in progress.
  test.each([
    { age: 20, seconds: '60', gaps: 1, steps: '4' },
    { age: 90, seconds: '90', gaps: 0, steps: '7' },
  ])('$age s after the start, the chart shows the last $seconds s', async ({ age, seconds, gaps, steps }) => {
    await using opened = await visit(age)
    const picture = opened.page.locator('#history-picture')
    await eventually(async () => expect(await picture.getAttribute('aria-valuemax')).toBe(seconds))
    expect(await opened.page.locator('.history-gap').count()).toBe(gaps)
    await opened.page.locator('#history').getByLabel('1 hour').check()
    await eventually(async () => expect(await picture.getAttribute('aria-valuemax')).toBe(steps))
  })

  test('entering a time such as 12:04 selects the range that contains it', async () => {
    await using opened = await visit()
    const { page } = opened
    await page.getByLabel('What happened at').fill('12:04')
    await page.keyboard.press('Enter')
    await eventually(async () => {
      expect(await readout(page)).toEqual(
        expect.arrayContaining(['12:04:00 – 12:04:15', 'cdnurl degraded', '10 views/s']),
      )
    })
    expect(await page.locator('#history').getByLabel('1 hour').isChecked()).toBe(true)
    await page.getByLabel('What happened at').fill('09:10')
    await page.getByRole('button', { name: 'Show', exact: true }).click()
    await eventually(async () => expect((await readout(page))[0]).toBe('09:10:00 – 09:15:00'))
    await page.getByRole('button', { name: '12:04:05' }).click()
    await eventually(async () => expect((await readout(page))[0]).toMatch(/^12:0[04]:00 – /))
  })

  test('a time before the first sample selects nothing, and the page says when the history starts', async () => {
    await using opened = await visit(90)
    const { page } = opened
    const note = page.getByText(/^No data before \d\d:\d\d:\d\d\.$/)
    const enterTime = async (time: string) => {
      await page.getByLabel('What happened at').fill(time)
      await page.keyboard.press('Enter')
    }
    await enterTime('12:20')
    await note.waitFor()
    expect(await note.textContent()).toBe('No data before 12:28:30.')
    expect((await readout(page))[0]).toBe('Last hour')
    await enterTime('12:29')
    await eventually(async () => expect((await readout(page))[0]).toMatch(/^12:29:00/))
    expect(await note.count()).toBe(0)
    await enterTime('00:10')
    await note.waitFor()
    expect((await readout(page))[0]).toBe('Last 24 hours')
  })

  test('a time before the first step of the 24-hour range selects nothing, even if the history has it', async () => {
    await using opened = await visit(90_000)
    const { page } = opened
    // In the 24-hour range, the first step begins at 12:35 yesterday.
    await page.getByLabel('What happened at').fill('12:32')
    await page.keyboard.press('Enter')
    await page.getByText('No data before 12:35:00.').waitFor()
    expect((await readout(page))[0]).toBe('Last 24 hours')
  })

  test('outages that begin at the same time are all listed', async () => {
    await using opened = await visit()
    const { page } = opened
    const instances = ['http://localhost:9001', 'http://localhost:9002']
    await serve(page, ({ outages: [down = expect.fail()] }) => [
      down,
      { ...down, service: 'events' },
      ...instances.map((instance) => ({ ...down, service: 'cdnurl', instance })),
    ])
    const subjects = ['reporting', 'event log', 'cdnurl localhost:9001', 'cdnurl localhost:9002']
    await eventually(async () =>
      expect(await page.locator('#history-events .text').allTextContents()).toEqual([
        ...subjects.map((subject) => `${subject} was down for 30 s`),
        'play restarted',
      ]),
    )
  })

  test('an event keeps the focus when another event is listed', async () => {
    await using opened = await visit()
    const { page } = opened
    const event = page.getByRole('button', { name: 'reporting was down for 30 s' })
    await event.focus()
    await serve(page, ({ outages }) => [...outages, { service: 'play', state: 'down', from: toTime(NOW), to: null }])
    await page.getByRole('button', { name: /play has been down/ }).waitFor()
    expect(await page.evaluate('document.activeElement.textContent')).toMatch(/reporting was down for 30 s$/)
  })

  test('Escape in a chart clears the selection, and does not close the last play', async () => {
    await using opened = await visit()
    const { page } = opened
    await page.getByRole('button', { name: 'Play It', exact: true }).click()
    const played = page.getByText(/^It: 200 OK/)
    await played.waitFor()
    for (const id of ['history-picture', 'chart']) {
      const chart = page.locator(`#${id}`)
      await eventually(async () => expect(await chart.getAttribute('aria-valuemax')).toMatch(/\d\d/))
      await chart.press('Escape')
      expect(await played.count()).toBe(1)
    }
    await page.getByLabel('Genre').press('Escape')
    expect(await played.count()).toBe(0)
  })

  test('in a window 320 px wide, the Show button is fully visible', async () => {
    await using opened = await visitConsole(system.browser, system.play.url, { viewport: { width: 320, height: 700 } })
    const [panel, button] = await Promise.all([
      opened.page.locator('#history').boundingBox(),
      opened.page.getByRole('button', { name: 'Show', exact: true }).boundingBox(),
    ])
    if (!panel || !button) return expect.fail()
    expect(button.x + button.width).toBeLessThan(panel.x + panel.width)
  })

  test('while the edge is down, the chart is marked as outdated; a hidden page does not poll the history', async () => {
    await using opened = await visit()
    const { page } = opened
    await page.unroute('**/history?*')
    await page.route('**/history?*', (route) => route.abort())
    await page.getByText('Not updated since 12:30:00. Retrying…').waitFor()

    await page.evaluate(`Object.defineProperty(document, 'hidden', { value: true, configurable: true })
      document.dispatchEvent(new Event('visibilitychange'))`)
    await page.waitForTimeout(500)
    let requests = 0
    page.on('request', (request) => {
      if (request.url().includes('/history')) requests += 1
    })
    await page.waitForTimeout(2_500)
    expect(requests).toBe(0)
  })

  test('if the first read of the history fails, the page says so until a read succeeds', async () => {
    await using opened = await visit()
    const { page } = opened
    const abort = (route: Route) => route.abort()
    await page.route('**/history?*', abort)
    await page.reload()
    const summary = page.locator('#history-summary')
    await summary.getByText('Unavailable right now. Retrying…').waitFor()
    await serve(page, ({ outages }) => outages)
    await page.unroute('**/history?*', abort)
    await summary.getByText('1 outage, 1 restart').waitFor()
  })

  /** Opens the console, and serves it the history that `toHistory` returns. */
  async function visit(age?: number): Promise<ConsolePage> {
    const opened = await visitConsole(system.browser, system.play.url, { timezoneId: 'UTC' })
    await opened.page.route('**/history?*', (route) => {
      const range = new URL(route.request().url()).searchParams.get('range')
      return route.fulfill({ json: toHistory(range === '1h' || range === '24h' ? range : '5m', age) })
    })
    await opened.page.getByText('1 outage, 1 restart').waitFor()
    return opened
  }

  /** Replaces the outages in the history of the last 5 minutes. */
  async function serve(page: Page, toOutages: (history: History) => History['outages']): Promise<void> {
    const history = toHistory('5m')
    const json = { ...history, outages: toOutages(history) }
    await page.route('**/history?range=5m', (route) => route.fulfill({ json }))
  }
})

/**
 * A history with 10 views per second. In the last minute, reporting was down for 30 s, with one error per second. Some
 * earlier seconds have no sample. cdnurl was degraded at 12:04.
 * @param age the age of the first sample, in seconds
 */
function toHistory(range: History['range'], age = 86_400): History {
  const step = { '5m': 1, '1h': 15, '24h': 300 }[range]
  const count = { '5m': 300, '1h': 240, '24h': 288 }[range]
  const [from, to] = [NOW - 40_000, NOW - 10_000]
  const points = Array.from({ length: count }, (_, n) => {
    const at = NOW - (count - n) * step * 1_000
    const isDown = range === '5m' && at >= from && at < to
    const numbers = { p99Ms: 12, backlog: 0, lagMs: isDown ? 1_200 : 0 }
    return { at: toTime(at), seconds: step, plays: 10 * step, errors: isDown ? 1 : 0, ...numbers }
  })
  const degraded = {
    service: 'cdnurl',
    state: 'degraded' as const,
    from: '2026-11-22T12:04:05.000Z',
    to: '2026-11-22T12:04:25.000Z',
  }
  const down = { service: 'reporting', state: 'down' as const, from: toTime(from), to: toTime(to) }
  return {
    range,
    step,
    now: toTime(NOW),
    since: toTime(NOW - age * 1_000),
    services: ['play', 'cdnurl', 'reporting', 'events'],
    points: points
      .filter(({ at }) => Date.parse(at) + step * 1_000 > NOW - age * 1_000)
      .filter((_, n, { length }) => range !== '5m' || length < count || n < 100 || n >= 200),
    outages: range === '5m' ? [down] : [degraded, down],
    restarts: [{ service: 'play', at: toTime(NOW - 200_000) }],
  }
}

function toTime(at: number): string {
  return new Date(at).toISOString()
}

async function readout(page: Page): Promise<string[]> {
  return [toPlain(await page.locator('#history-caption').textContent()), ...(await numbers(page))]
}

async function numbers(page: Page): Promise<string[]> {
  return (await page.locator('#history-numbers li').allTextContents()).map(toPlain)
}

/** Replaces the thin spaces in times with ordinary spaces. */
function toPlain(text: string | null): string {
  return (text ?? '').replaceAll(/\s/g, ' ')
}
