import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { stepIds } from '../console/page/tour/headless.js'
import { readProcessState } from '../scripts/start/process-state.ts'
import { hasChromium, startBrowser } from './harness/browser.ts'
import { type Child, startChild } from './harness/child.ts'
import { visitConsole } from './harness/console-page.ts'
import { eventually } from './harness/eventually.ts'
import { type FaultyListener, startFaultyListener } from './harness/faulty-listener.ts'
import { startIdentityProvider } from './harness/identity-provider.ts'
import { natsVersion, pathWithNats } from './harness/nats-server.ts'
import { npmStart, type Started, tokenOf } from './harness/npm-start.ts'
import { getJson } from './harness/plays.ts'
import { freePort, portNextTo } from './harness/ports.ts'
import { createTempDirectory } from './harness/temp-directory.ts'
import { violations } from './harness/violations.ts'

function startTour(system: Started, dataDir: string, args: string[] = [], env: Record<string, string> = {}): Child {
  return startChild(process.execPath, ['scripts/tour/main.ts', '--port', String(system.edgePort), ...args], {
    env: { DATA_DIR: dataDir, ...env },
  })
}

async function runTour(...given: Parameters<typeof startTour>) {
  await using child = startTour(...given)
  return { status: await child.ended, output: child.lines.join('\n') }
}

describe.skipIf(!natsVersion)('in a system that npm start runs,', () => {
  const stack = new AsyncDisposableStack()
  let system: Started
  let listener: FaultyListener
  let dataDir: string
  let browser: Browser
  beforeAll(async () => {
    if (hasChromium) browser = stack.use(await startBrowser())
    dataDir = stack.use(await createTempDirectory('tour')).path
    listener = stack.use(await startFaultyListener())
    system = stack.use(
      await npmStart((edgePort) => {
        listener.target = `http://127.0.0.1:${portNextTo(edgePort, 'reporting')}`
        return { PATH: pathWithNats, DATA_DIR: dataDir, REPORTING_URL: listener.url }
      }),
    )
  })
  afterAll(() => stack.disposeAsync())

  /** Tries to take a step's lease. The lease is for 0 s, so it expires immediately. */
  async function takeLease(): Promise<unknown> {
    const headers = { authorization: `Bearer ${tokenOf(system)}` }
    const url = `${system.play.url}/controls/tour?holder=test&step=none&seconds=0`
    return (await fetch(url, { method: 'POST', headers })).json()
  }

  test('the tour passes all eight steps: every play with a 200 is counted, and the naive counter drifts', async () => {
    const { status, output } = await runTour(system, dataDir)
    expect(output).toMatch(/^8 passed, 0 failed, 0 skipped$/m)
    expect(output).toMatch(/This system counted all 12 plays; .* The naive counter drifted by 4/)
    expect(output).toMatch(/All were sent again, and each was counted once/)
    const [, answered, counted] = /(\d+) answered 200 = (\d+) counted \+ 0 waiting$/.exec(identityOf(output)) ?? []
    expect(Number(answered)).toBeGreaterThan(25)
    expect(counted).toBe(answered)
    expect(status).toBe(0)
  })

  test('a tour that is killed in the middle of a step leaves everything running', async () => {
    const isUp = async () => (await fetch(`${listener.target}/healthz`)).ok
    await using child = startTour(system, dataDir, ['kill-reporting'])
    await eventually(async () => expect(await isUp().catch(() => false)).toBe(false))
    await child.signal('SIGKILL')
    await eventually(async () => expect(await isUp()).toBe(true))
    await eventually(async () => expect(await getJson(`${system.play.url}/status`)).toMatchObject({ status: 'ready' }))
  })

  test.skipIf(!hasChromium)(
    'the tour page runs a step, explains why a prediction is wrong, and shows how many plays are counted',
    async () => {
      await using browser = await startBrowser()
      await using opened = await visitConsole(browser, `${system.play.url}/tour#controls=${tokenOf(system)}`)
      const { page, errors } = opened
      await page.getByRole('button', { name: 'Kill reporting' }).first().click()
      await page.getByText('Errors: without reporting, nothing can be played.').click()
      await page.getByText('Not quite. No single service can prevent a play').waitFor()
      expect(page.url()).toBe(`${system.play.url}/tour`)
      await page.locator('#step').getByRole('button', { name: 'Kill reporting' }).click()
      await page.getByText('reporting is down', { exact: true }).waitFor()
      await page.getByText('Passed. All 6 plays got a 200').waitFor({ timeout: 25_000 })
      await page.getByText('Kept: every view is counted').waitFor()
      const shown = await Promise.all(
        ['answered', 'counted', 'waiting'].map((id) => page.locator(`#${id}`).textContent()),
      )
      expect(shown).toEqual(['6', '6', '0'])
      expect(await violations(page)).toEqual([])
      // While reporting is down, the edge cannot explain a view, and the browser logs the failed request.
      expect(errors.filter((text) => !text.startsWith('Failed to load resource'))).toEqual([])
    },
  )

  test.skipIf(!hasChromium)(
    'a step is offered as soon as the edge is reachable again; the button "Next step" moves the focus to the next step',
    async () => {
      await using opened = await visitConsole(browser, `${system.play.url}/tour#controls=${tokenOf(system)}`, {
        viewport: { width: 390, height: 480 },
      })
      const { page } = opened
      await page.getByText('Each step restores what it breaks, even if the step fails.').waitFor()
      await page.route('**/controls', (route) => route.abort())
      await page.getByRole('button', { name: 'Kill reporting' }).first().click()
      const skipped = page.getByText('This step is skipped here. The edge is unreachable.')
      await skipped.waitFor()
      await page.locator('#tour-note').getByText('The edge is unreachable.').waitFor()
      await page.unroute('**/controls')
      await skipped.waitFor({ state: 'hidden' })
      await page.getByText('Each step restores what it breaks, even if the step fails.').waitFor()

      await page.getByRole('button', { name: 'Next step' }).click()
      const card = page.locator('#step')
      expect(await page.evaluate('document.activeElement.id')).toBe('step')
      expect(await card.getAttribute('aria-label')).toMatch(/^Step \d of 8: /)
      expect((await card.boundingBox())?.y).toBeCloseTo(0, 0)
    },
  )

  test('a second tour says that it waits for the step of the first, and then passes', async () => {
    await using first = startTour(system, dataDir, ['kill-reporting'])
    await eventually(async () => expect(await takeLease()).toMatchObject({ granted: false, step: 'kill-reporting' }))
    const second = await runTour(system, dataDir, ['play'])
    expect(second.output).toMatch(/^wait {2}Another tour is running the step “Kill reporting”\./)
    expect(second).toMatchObject({ status: 0, output: expect.stringContaining('1 passed') })
    expect(first.lines.at(-1)).toMatch(/^1 passed/)
  })

  test.skipIf(!hasChromium)(
    "the page waits for another tour's step, and does not block other tours once it is closed",
    async () => {
      const address = `${system.play.url}/tour#controls=${tokenOf(system)}`
      await using first = startTour(system, dataDir, ['kill-reporting'])
      await eventually(async () => expect(await takeLease()).toMatchObject({ granted: false }))
      await using opened = await visitConsole(browser, address)
      const { page } = opened
      await page.getByRole('button', { name: 'Kill reporting' }).first().click()
      await page.getByText('Errors: without reporting, nothing can be played.').click()
      await page.locator('#step').getByRole('button', { name: 'Kill reporting' }).click()
      await page.getByText('Another tour is running the step “Kill reporting”').waitFor()
      await page.getByText('reporting is down', { exact: true }).waitFor()
      expect(first.lines.at(-1)).toMatch(/^1 passed/)
      await page.close()
      await eventually(async () => expect(await takeLease()).toMatchObject({ granted: true }), 5_000)
      await eventually(async () =>
        expect(await getJson(`${system.play.url}/status`)).toMatchObject({ status: 'ready' }),
      )
    },
  )

  test.skipIf(!hasChromium)('the console kills and suspends a process, and shows its state', async () => {
    await using opened = await visitConsole(browser, `${system.play.url}/#controls=${tokenOf(system)}`)
    const { page } = opened
    const row = page.locator('.process').filter({ hasText: 'queue-listener' })
    await row.getByRole('button', { name: 'Hang' }).click()
    await row.getByText('hung', { exact: true }).waitFor()
    await row.getByRole('button', { name: 'Kill' }).hover()
    const [pid = ''] = /\d+/.exec((await row.locator('.role').textContent()) ?? '') ?? []
    expect(await page.locator('.controls-command').textContent()).toBe(`In a terminal: kill -9 ${pid}`)
    expect(await readProcessState(Number(pid))).toBe('hung')
    await row.getByRole('button', { name: 'Kill' }).click()
    await row.getByText('down', { exact: true }).waitFor()
    expect(await readProcessState(Number(pid))).toBe('down')
    await row.getByRole('button', { name: 'Start' }).click()
    await row.getByText('running', { exact: true }).waitFor()
    expect(await violations(page)).toEqual([])
    await eventually(async () => expect(await getJson(`${system.play.url}/status`)).toMatchObject({ status: 'ready' }))
  })

  test.skipIf(!hasChromium)('a control keeps the focus while it is disabled, and ignores presses', async () => {
    await using opened = await visitConsole(browser, `${system.play.url}/#controls=${tokenOf(system)}`)
    const { page } = opened
    const row = page.locator('.process').filter({ hasText: 'queue-listener' })
    const kill = row.getByRole('button', { name: 'Kill' })
    const presses: string[] = []
    page.on('request', (request) => request.method() === 'POST' && presses.push(new URL(request.url()).pathname))
    await kill.press('Enter')
    await row.getByText('down', { exact: true }).waitFor()
    expect(await kill.getAttribute('aria-disabled')).toBe('true')
    await page.keyboard.press('Enter')
    expect(await page.evaluate('document.activeElement.ariaLabel')).toBe('Kill queue-listener')
    expect(presses).toEqual(['/controls/queue-listener/kill'])
    await row.getByRole('button', { name: 'Start' }).click()
    await row.getByText('running', { exact: true }).waitFor()
    await eventually(async () => expect(await getJson(`${system.play.url}/status`)).toMatchObject({ status: 'ready' }))
  })

  test.skipIf(!hasChromium)('the start of a simulation is announced, even if a poll shows it first', async () => {
    await using opened = await visitConsole(browser, `${system.play.url}/#controls=${tokenOf(system)}`)
    const { page } = opened
    await page.route('**/controls/simulate?*', async (route) => {
      const response = await route.fetch()
      await page.getByRole('button', { name: 'Stop', exact: true }).waitFor()
      await route.fulfill({ response })
    })
    await page.getByRole('button', { name: 'Simulate' }).click()
    await page.getByText('20 plays per second, for 30 s…').waitFor()
    await page.getByRole('button', { name: 'Stop', exact: true }).click()
    await page.getByRole('button', { name: 'Simulate' }).waitFor()
  })

  test.each([
    ['drops views', 'drops', /^FAIL {2}A play: After 3 s, the view has not been counted/m],
    ['counts views twice', 'doubles', /^FAIL {2}A play: The play got status 200, and was counted 2 times/m],
  ] as const)('the tour fails if queue-listener %s', async (_, fault, verdict) => {
    listener.fault = fault
    const { status, output } = await runTour(system, dataDir, ['play', '--patience', '3'])
    listener.fault = 'none'
    expect(output).toMatch(verdict)
    expect(status).toBe(1)
  })
})

test('in embedded mode, the tour skips the steps that need processes, and says why', async () => {
  await using directory = await createTempDirectory('tour-embedded')
  await using system = await npmStart({ PATH: '', DATA_DIR: directory.path })
  const { status, output } = await runTour(system, directory.path)
  expect(output).toMatch(/^4 passed, 0 failed, 4 skipped$/m)
  expect(output.match(/^skip .*share one process, so there is nothing to kill/gm)).toHaveLength(4)
  expect(status).toBe(0)
  if (!hasChromium) return
  await using browser = await startBrowser()
  await using opened = await visitConsole(browser, system.play.url)
  await opened.page.locator('#controls').getByText('share one process, so there is nothing to kill').waitFor()
  await opened.page.getByRole('link', { name: 'Take the tour' }).click()
  await opened.page.getByRole('button', { name: 'Kill reporting' }).click()
  await opened.page.getByText('This step is skipped here. In embedded mode, all services share one process').waitFor()
})

test('if the system listens on another address, the tour and the flood of prefetches use that address', async () => {
  await using directory = await createTempDirectory('tour-host')
  const HOST = '127.0.0.2'
  await using system = await npmStart({ PATH: '', DATA_DIR: directory.path, HOST })
  const { status, output } = await runTour(system, directory.path, ['prefetch'], { HOST })
  expect(output).toMatch(/^ok {4}A flood of prefetches: \d+ prefetches and one play resulted in one view\./m)
  expect(status).toBe(0)
})

test("if plays need a user's token, the tour skips its steps", async () => {
  await using directory = await createTempDirectory('tour-identity')
  await using provider = await startIdentityProvider()
  await using system = await npmStart({ PATH: '', DATA_DIR: directory.path, ...provider.settings })
  const { status, output } = await runTour(system, directory.path, ['play'])
  expect(output).toMatch(/^skip {2}A play: Plays require a user token here\./m)
  expect(status).toBe(0)
})

test('an unknown tour step is an error that lists all steps', async () => {
  await using child = startChild(process.execPath, ['scripts/tour/main.ts', 'nope'])
  expect(await child.ended).toBe(2)
  expect(child.lines).toEqual([`npm run tour: there is no step "nope"; the steps are ${stepIds.join(', ')}`])
})

test('without a running system, the tour prints one line and exits with status 1', async () => {
  const port = await freePort()
  await using child = startChild(process.execPath, ['scripts/tour/main.ts', '--port', String(port)])
  expect(await child.ended).toBe(1)
  expect(child.lines).toEqual([expect.stringContaining(`play is not reachable at http://127.0.0.1:${port}`)])
})

/** The last line in which the tour printed how many plays got a 200, and how many of them are counted or waiting. */
function identityOf(output: string): string {
  return output.split('\n').findLast((line) => line.includes('answered 200 =')) ?? ''
}
