import { execFile } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { resolve } from 'node:path'
import { promisify } from 'node:util'
import { pino } from 'pino'
import { createJetStreamEventLog } from '../shared/event-log/jetstream-event-log.ts'
import { openNatsLink } from '../shared/nats/link.ts'
import { parseCommandLine } from '../shared/runtime/command-line.ts'
import { startBrowser } from '../tests/harness/browser.ts'
import { openConsole } from '../tests/harness/console-page.ts'
import { edges } from '../tests/harness/edges.ts'
import { eventually } from '../tests/harness/eventually.ts'
import { getJson, play } from '../tests/harness/plays.ts'
import { createRandom } from '../tests/harness/random.ts'
import { type System, startSystem } from '../tests/harness/system.ts'

const SECONDS = 300
const USERS = 20
const VIEWPORT = { width: 1_360, height: 1_180 }

/** Takes the screenshot in the README: a fresh system with five minutes of views, while other users play. */
const options = parseCommandLine(process.argv.slice(2), {
  file: { type: 'string', default: 'docs/console.png' },
  dark: { type: 'boolean', default: false },
  width: { type: 'string', default: String(VIEWPORT.width) },
})
const random = createRandom(8)
const CDN_KEYS = `screenshot:${randomUUID()}`
await using edge = await startEdge(CDN_KEYS)
await using system = await startSystem({ CDN_BASE_URL: edge.url, CDN_KEYS })
await seed(system)
const assets = await assetIds(system)
await using browser = await startBrowser()
await appendHistory(system)
await takeScreenshot()

function startEdge(keys: string) {
  const [installed] = edges.filter(({ isInstalled }) => isInstalled)
  if (!installed) throw new Error('the Node edge needs nothing to be installed')
  return installed.start({ keys, root: resolve('deploy/cdn/media') })
}

async function seed({ metadata, cdnurl }: System): Promise<void> {
  const env = { ...process.env, METADATA_URL: metadata.url, CDNURL_URL: cdnurl.url }
  await promisify(execFile)('bash', ['scripts/seed.sh'], { env })
}

async function assetIds({ metadata }: System): Promise<string[]> {
  const { assets } = (await getJson(`${metadata.url}/content/assets?limit=1000`)) as { assets: { id: string }[] }
  return assets.map(({ id }) => id)
}

/** Appends five minutes of past views, with a rising rate and some assets more popular than others. */
async function appendHistory({ nats: { url } }: System): Promise<void> {
  const log = pino({ level: 'silent' })
  await using nats = openNatsLink({ servers: [url], name: 'screenshot', log })
  await using eventLog = createJetStreamEventLog({ nats, log })
  const views = Array.from({ length: SECONDS }, (_, second) => {
    const wave = 6 + 4 * Math.sin(second / 25) + second / 40
    const at = new Date(Date.now() - (SECONDS - second) * 1_000).toISOString()
    return Array.from({ length: Math.floor(wave * (0.6 + random())) }, () => ({
      id: randomUUID(),
      at,
      ...randomPlay(),
    }))
  }).flat()
  await nats.up(AbortSignal.timeout(5_000))
  await eventLog.producer('/screenshot').append(views, AbortSignal.timeout(5_000))
}

function randomPlay() {
  const assetId = String(assets[Math.floor(random() ** 2 * assets.length)])
  return { assetId, userId: `user-${Math.floor(random() ** 2 * USERS) + 1}` }
}

async function takeScreenshot(): Promise<void> {
  const viewport = { width: Number(options.width), height: VIEWPORT.height }
  const colorScheme = options.dark ? 'dark' : 'light'
  await using opened = await openConsole(browser, system.play.url, { viewport, colorScheme, reducedMotion: 'reduce' })
  const { page } = opened
  await page.getByLabel('Play as user').fill('ada')
  for (let n = 0; n < 100; n += 1) {
    const { assetId, userId } = randomPlay()
    await play(system.play.url, assetId, userId)
    await page.waitForTimeout(30)
  }
  await page.getByRole('button', { name: 'Play Charade' }).click()
  await page.getByText('Charade: 200 OK').waitFor()
  await page.evaluate('document.activeElement.blur(), scrollTo(0, 0)')
  await page.mouse.move(0, 0)
  // By then, the live update with the last play has arrived.
  await eventually(async () => {
    if (!(await page.evaluate('document.querySelector("video").currentTime > 2'))) throw new Error('nothing plays')
  })
  await page.screenshot({ path: options.file })
}
