import { execFile } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { resolve } from 'node:path'
import { promisify } from 'node:util'
import { startBrowser } from '../tests/harness/browser.ts'
import { openConsole } from '../tests/harness/console-page.ts'
import { edges } from '../tests/harness/edges.ts'
import { eventually } from '../tests/harness/eventually.ts'
import { openNatsEventLog } from '../tests/harness/nats-event-log.ts'
import { getJson, play } from '../tests/harness/plays.ts'
import { createRandom } from '../tests/harness/random.ts'
import { type System, startSystem } from '../tests/harness/system.ts'
import { runCommand } from './command.ts'

const SECONDS = 300
const USERS = 20
const VIEWPORT = { width: 1_360, height: 1_660 }
/** How long other users play while the page is open, in seconds, and the period in which reporting is down. */
const LIVE_SECONDS = 120
const OUTAGE = { from: 60, to: 68 }

const usage = `Usage: npm run screenshot [-- --file docs/console.png] [-- --dark] [-- --width ${VIEWPORT.width}]

Takes the screenshot in the README, which shows a new system with five minutes of views, a reporting outage,
and other users who play. Runs for two minutes.`

const options = {
  file: { type: 'string', default: 'docs/console.png' },
  dark: { type: 'boolean', default: false },
  width: { type: 'string', default: String(VIEWPORT.width) },
} as const

const random = createRandom(8)

await runCommand({ name: 'npm run screenshot', usage, options }, async (appearance) => {
  const CDN_KEYS = `screenshot:${randomUUID()}`
  await using edge = await startEdge(CDN_KEYS)
  await using system = await startSystem({ CDN_BASE_URL: edge.url, CDN_KEYS })
  await seed(system)
  const assets = await assetIds(system)
  await using browser = await startBrowser()
  await appendHistory(system, assets)
  await takeScreenshot({ system, assets, browser, ...appearance })
})

function startEdge(keys: string) {
  const [installed] = edges.filter(({ isInstalled }) => isInstalled)
  if (!installed) throw new Error('no edge is available')
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
async function appendHistory({ nats: { url } }: System, assets: string[]): Promise<void> {
  await using eventLog = await openNatsEventLog(url)
  const views = Array.from({ length: SECONDS }, (_, second) => {
    const wave = 6 + 4 * Math.sin(second / 25) + second / 40
    const at = new Date(Date.now() - (SECONDS - second) * 1_000).toISOString()
    return Array.from({ length: Math.floor(wave * (0.6 + random())) }, () => ({
      id: randomUUID(),
      at,
      ...randomPlay(assets),
    }))
  }).flat()
  await eventLog.producer('/screenshot').append(views, AbortSignal.timeout(5_000))
}

function randomPlay(assets: string[]) {
  const assetId = String(assets[Math.floor(random() ** 2 * assets.length)])
  return { assetId, userId: `user-${Math.floor(random() ** 2 * USERS) + 1}` }
}

type Shot = {
  system: System
  assets: string[]
  browser: Awaited<ReturnType<typeof startBrowser>>
  file: string
  dark: boolean
  width: string
}

async function takeScreenshot({ system, assets, browser, file, dark, width }: Shot): Promise<void> {
  const viewport = { width: Number(width), height: VIEWPORT.height }
  const colorScheme = dark ? 'dark' : 'light'
  await using opened = await openConsole(browser, system.play.url, { viewport, colorScheme, reducedMotion: 'reduce' })
  const { page } = opened
  await page.getByLabel('Play as user').fill('ada')
  for (let second = 0; second < LIVE_SECONDS; second += 1) {
    if (second === OUTAGE.from) await system.reporting.signal('SIGKILL')
    if (second === OUTAGE.to) await system.reporting.start()
    const plays = Array.from({ length: Math.floor(4 + 8 * random()) }, () => randomPlay(assets))
    await Promise.all(plays.map(({ assetId, userId }) => play(system.play.url, assetId, userId)))
    await page.waitForTimeout(1_000)
  }
  await page.getByRole('button', { name: 'Play Charade' }).click()
  await page.getByText('Charade: 200 OK').waitFor()
  await page.evaluate('document.activeElement.blur(), scrollTo(0, 0)')
  await page.mouse.move(0, 0)
  // Once the video has played for 2 s, the live update with the last play has arrived.
  await eventually(async () => {
    if (!(await page.evaluate('document.querySelector("video").currentTime > 2'))) throw new Error('no video plays')
  })
  await page.screenshot({ path: file })
}
