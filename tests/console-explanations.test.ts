import type { BrowserContextOptions, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { jsonRequest } from '../shared/testing/json-request.ts'
import { hasChromium } from './harness/browser.ts'
import { clickPlay } from './harness/console-page.ts'
import { type ConsoleSystem, startConsoleSystem } from './harness/console-system.ts'
import { eventually } from './harness/eventually.ts'
import { natsVersion } from './harness/nats-server.ts'
import { publishRaw } from './harness/raw-messages.ts'

const WHY = 'Why is this view counted, or not?'
const IS_IN_VIEW = `(({ top, bottom }) => top >= 0 && bottom <= innerHeight)(
  document.querySelector('.outcome').getBoundingClientRect())`
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

describe.skipIf(!natsVersion || !hasChromium)('on the console,', () => {
  let system: ConsoleSystem
  beforeAll(async () => {
    system = await startConsoleSystem()
  })
  afterAll(() => system?.[Symbol.asyncDispose]())

  const open = (options?: BrowserContextOptions) => system.open(options)

  test('a play links to its explanation, which links to the play that decided the verdict', async () => {
    await using opened = await open()
    const { page, errors } = opened
    await page.getByLabel('Play as user').fill('repeater')
    await clickPlay(page, 'It')
    await page.getByText(WHY).click()
    await expectOutcome(page, 'Qualified')
    const first = await shownId(page)
    expect(first).toMatch(UUID)
    expect(await facts(page)).toMatchObject({ asset: 'It', user: 'repeater', 'view rules': 'v1' })

    await clickPlay(page, 'It')
    await eventually(async () => {
      await page.getByText(WHY).click()
      expect(await shownId(page)).not.toBe(first)
    })
    await expectOutcome(page, 'Not qualified: repeat')
    const summary = await page.locator('.why-summary').textContent()
    expect(summary).toMatch(`event ${first}.`)
    expect(summary).toMatch(/^Not qualified: the same user played the same asset [\d.]+ s before, event /)

    await page.getByText(/^the play at /).click()
    await expectOutcome(page, 'Qualified')
    expect(await shownId(page)).toBe(first)
    await page.goBack()
    await expectOutcome(page, 'Not qualified: repeat')
    expect(errors).toEqual([])
  })

  test("an explanation's URL can be shared, and a click on a link to the current URL shows the explanation again", async () => {
    await using opened = await open()
    const { page } = opened
    const id = await played('123', 'sharer')
    await page.goto(`${system.play.url}/#why=${id}`)
    await page.reload()
    await expectOutcome(page, 'Qualified')
    await page.getByLabel('View ID').fill('something else')
    await page.getByRole('button', { name: 'Explain' }).click()
    await expectOutcome(page, 'View not found')
    await page.evaluate(
      `document.body.prepend(Object.assign(document.createElement('a'), { href: location.href, textContent: 'again' }))`,
    )
    await page.getByText('again', { exact: true }).click()
    await expectOutcome(page, 'Qualified')
  })

  test('for an id that was never recorded, the explanation says since when verdicts are kept', async () => {
    await using opened = await open()
    const { page } = opened
    await explain(page, ' never-recorded ')
    await expectOutcome(page, 'View not found')
    await page
      .getByText(/^No view with this ID was recorded, .* Verdicts are kept for views since \w+ \d+, 20\d\d/)
      .waitFor()
    await explain(page, 'a/b?c#d%')
    await expectOutcome(page, 'View not found')
    expect(await page.locator('.why-facts').count()).toBe(0)
  })

  test.each(['..', '.', ''])('"%s" is rejected as a view ID, both in the URL and in the form', async (id) => {
    await using opened = await open()
    const { page, errors } = opened
    await page.goto(`${system.play.url}/#why=${id}`)
    await expectOutcome(page, 'Not a view ID')
    await explain(page, 'never-recorded')
    await expectOutcome(page, 'View not found')
    await explain(page, ` ${id} `)
    await expectOutcome(page, 'Not a view ID')
    // The browser logs the 404 as an error.
    expect(errors.filter((text) => !text.startsWith('Failed to load resource'))).toEqual([])
  })

  test('a message that is not a valid batch of views is explained as a dead letter', async () => {
    await using opened = await open()
    const { page } = opened
    await page.getByText('Try it: cause each outcome').click()
    const [, subject, body] =
      /^nats pub (\S+) '(.+)'$/.exec((await page.locator('#examples code').textContent()) ?? '') ?? []
    await publishRaw(system.nats, [body ?? ''], subject)
    await eventually(async () => {
      await explain(page, 'broken-view')
      await expectOutcome(page, 'Rejected: dead letter', 1_000)
    })
    await page.getByText('unless you repair and replay it with npm run dead-letters').waitFor()
  })

  test.each([
    ['Play once', 'Qualified', undefined],
    ['Play twice', 'Not qualified: repeat', undefined],
    ['Send the same key twice', 'Qualified', 'Both responses had the same view ID'],
    ['Reuse a key', 'Qualified', 'The second play was rejected with status 422'],
  ])('the button "%s" causes and explains the outcome "%s"', async (button, outcome, note) => {
    await using opened = await open({ viewport: { width: 390, height: 480 } })
    const { page } = opened
    await page.getByText('Try it: cause each outcome').click()
    await page.getByRole('button', { name: button }).click()
    await expectOutcome(page, outcome)
    expect(await shownId(page)).toMatch(UUID)
    const notes = await page.locator('.why .note').allTextContents()
    expect(notes).toEqual(note ? [expect.stringContaining(note)] : [])
    expect(await page.evaluate(IS_IN_VIEW)).toBe(true)
  })

  test('during a NATS outage, a view is explained as being in the outbox, and later as counted', async () => {
    await using opened = await open()
    const { page } = opened
    await page.getByLabel('Play as user').fill('outage')
    await system.nats.signal('SIGKILL')
    await eventually(async () => {
      await clickPlay(page, 'It')
      await page.getByText('the view is in the outbox').waitFor({ timeout: 1_000 })
    })
    await page.getByText(WHY).click()
    await expectOutcome(page, 'In the outbox')
    await page.getByText('Checking until the view is counted…').waitFor()
    await system.nats.start()
    await expectOutcome(page, /^(Not qualified: repeat|Qualified)$/, 15_000)
    await page.getByText('All services up').waitFor()
  })

  test('while queue-listener is down, a view is explained as being in the log, and later as counted', async () => {
    await using opened = await open()
    const { page } = opened
    await page.getByLabel('Play as user').fill('uncounted')
    await system.listener.signal('SIGKILL')
    await clickPlay(page, 'It')
    await page.getByText(WHY).click()
    await expectOutcome(page, 'In the log, not counted yet')
    await system.listener.start()
    await expectOutcome(page, 'Qualified', 15_000)
    expect(await page.locator('#why-progress').textContent()).toBe('')
    await page.getByText('All services up').waitFor()
  })

  test("while reporting or the edge is down, the page shows a view's state as unknown, and after recovery its actual state", async () => {
    await using opened = await open()
    const { page } = opened
    const id = await played('456', 'patient')
    await eventually(async () => {
      await explain(page, id)
      await expectOutcome(page, 'Qualified', 1_000)
    })
    await system.reporting.signal('SIGSTOP')
    await explain(page, 'unheard-of')
    await page.getByText('Reporting or the log is down').waitFor()
    await expectOutcome(page, 'Unknown right now')
    await system.play.signal('SIGSTOP')
    await page.getByText('The edge is unreachable.', { exact: true }).waitFor()
    await system.play.start()
    await system.reporting.start()
    await expectOutcome(page, 'View not found', 15_000)
    await page.getByText('All services up').waitFor()
  })

  test('the page stops checking a view that stays uncounted for minutes, and checks it again when the user presses Explain', async () => {
    await using opened = await open()
    const { page } = opened
    const view = { id: 'late', state: 'outbox', verdict: null, because: null, summary: 'Recorded in an outbox.' }
    let requests = 0
    await page.route('**/views/**', (route) => {
      requests += 1
      return route.fulfill({ json: view })
    })
    await page.clock.install()
    await explain(page, 'late')
    await eventually(async () => {
      await page.clock.runFor(3_000)
      expect(await page.locator('#why-progress').textContent()).toMatch(/^No longer checking/)
    })
    const before = requests
    expect(before).toBeLessThanOrEqual(100)
    await page.clock.runFor(60_000)
    expect(requests).toBe(before)
    await page.getByRole('button', { name: 'Explain' }).click()
    await eventually(() => expect(requests).toBeGreaterThan(before))
  })

  test('if the edge returns an error or is unreachable, the examples say that the play failed', async () => {
    await using opened = await open()
    const { page } = opened
    await page.getByText('Try it: cause each outcome').click()
    await page.route('**/play/**', (route) => route.fulfill({ status: 503, json: {} }), { times: 1 })
    await page.getByRole('button', { name: 'Play once' }).click()
    await page.getByText('The play failed: the edge returned 503.').waitFor()
    await page.route('**/play/**', (route) => route.abort(), { times: 1 })
    await page.getByRole('button', { name: 'Play once' }).click()
    await page.getByText('The play failed: the edge is unreachable.').waitFor()
  })

  test('if the edge hangs, the examples say after 5 s that the play failed', async () => {
    await using opened = await open()
    const { page } = opened
    await page.getByText('Try it: cause each outcome').click()
    await page.route('**/play/**', () => {})
    await page.getByRole('button', { name: 'Play once' }).click()
    await page.getByText(/^Playing as /).waitFor()
    await page.getByText('The play failed: the edge is unreachable.').waitFor({ timeout: 15_000 })
    await page.locator('#plays-list').getByText('No response').waitFor()
  })

  async function played(assetId: string, userId: string): Promise<string> {
    const response = await fetch(`${system.play.url}/play/asset/${assetId}/user/${userId}`, { method: 'POST' })
    return response.headers.get('view-id') ?? ''
  }
})

describe.skipIf(!natsVersion || !hasChromium)('under rules with watch time,', () => {
  test("a view's explanation changes from pending to qualified", async () => {
    await using system = await startConsoleSystem({ VIEW_RULES: 'v2' })
    await using opened = await system.open()
    const { page, errors } = opened
    const played = await fetch(`${system.play.url}/play/asset/456/user/watcher`, { method: 'POST' })
    const id = played.headers.get('view-id') ?? ''
    await page.goto(`${system.play.url}/#why=${id}`)
    await expectOutcome(page, 'Pending: not watched for long enough yet')
    const report = { assetId: '456', userId: 'watcher', seconds: 31 }
    expect((await fetch(`${system.play.url}/play/watched/${id}`, jsonRequest(report))).status).toBe(202)
    await expectOutcome(page, 'Qualified')
    expect(await facts(page)).toMatchObject({ watched: '31 s', 'view rules': 'v2' })
    expect(errors).toEqual([])
  })
})

async function explain(page: Page, id: string): Promise<void> {
  await page.getByLabel('View ID').fill(id)
  await page.getByRole('button', { name: 'Explain' }).click()
}

function expectOutcome(page: Page, text: string | RegExp, limitMs?: number): Promise<void> {
  return eventually(async () => {
    const [outcome] = await page.locator('.outcome').allTextContents()
    if (typeof text === 'string') expect(outcome?.trim()).toBe(text)
    else expect(outcome?.trim()).toMatch(text)
  }, limitMs)
}

function shownId(page: Page): Promise<string> {
  return page.getByLabel('View ID').inputValue()
}

/** The table of facts below an explanation. */
async function facts(page: Page): Promise<Record<string, string>> {
  const texts = (tag: string) => page.locator(`.why-facts ${tag}`).allTextContents()
  const values = await texts('dd')
  return Object.fromEntries((await texts('dt')).map((term, n) => [term, values[n] ?? '']))
}
