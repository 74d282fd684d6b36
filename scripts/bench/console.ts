import { execFile } from 'node:child_process'
import { randomUUIDv7 } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Page } from 'playwright-core'
import { sleep } from '../../shared/runtime/sleep.ts'
import { startBrowser } from '../../tests/harness/browser.ts'
import { startChild } from '../../tests/harness/child.ts'
import { openConsole } from '../../tests/harness/console-page.ts'
import { openNatsEventLog } from '../../tests/harness/nats-event-log.ts'
import { warmUp } from '../../tests/harness/plays.ts'
import { startService } from '../../tests/harness/service-process.ts'
import { type System, startSystem } from '../../tests/harness/system.ts'
import { createTempDirectory } from '../../tests/harness/temp-directory.ts'
import { playFor } from './load.ts'
import { median } from './measure.ts'
import { seed } from './seed.ts'

/**
 * `node scripts/bench/console.ts [seconds] [rounds]` measures the cost of the console. It puts load on play in three
 * configurations in turn: without traces, with no console open, and with the console open in 100 pages. For each
 * configuration, it prints the plays per second, and the median of the per-round ratios to the first configuration.
 * Then it opens the console in a browser, with 5,000 assets and 1,000 views per second, and prints the frame rate.
 */
const [seconds = '4', rounds = '5'] = process.argv.slice(2)
const CONNECTIONS = 128
const PAGES = 100
const ASSETS = 5_000
const USERS = 10_000
const VIEWS_PER_SECOND = 1_000
const VIEWS_PER_MESSAGE = 10
const OPENED_MS = 3_000
const FRAMES_MS = 10_000

await measurePlays()
await measureFrames()

async function measurePlays(): Promise<void> {
  // Unset PLAY_URL, because play has no other instances by default.
  await using system = await startSystem({ PLAY_URL: '' })
  await using without = await startService('play', { ...system.env, TRACES_KEPT: '0' })
  await seed(system)
  await warmUp(without.url)
  const results = new Map<string, number[]>()
  async function measure(name: string, url: string): Promise<void> {
    const { perSecond } = await playFor({ url, connections: CONNECTIONS, seconds: Number(seconds) })
    results.set(name, [...(results.get(name) ?? []), perSecond])
  }
  for (let round = 0; round < Number(rounds); round += 1) {
    await measure('no traces kept', without.url)
    await measure('no page open', system.play.url)
    await using _ = startChild(process.execPath, ['scripts/bench/console-pages.ts', system.play.url, String(PAGES)])
    await sleep(OPENED_MS)
    await measure(`${PAGES} pages open`, system.play.url)
  }
  const [base = []] = results.values()
  for (const [name, perSecond] of results) {
    const ratios = perSecond.map((each, round) => each / (base[round] ?? Number.NaN))
    console.log(name, perSecond.map(Math.round), 'median ratio', median(ratios).toFixed(3))
  }
}

async function measureFrames(): Promise<void> {
  await using system = await startSystem()
  await fillCatalogue(system)
  await warmUp(system.play.url)
  await using browser = await startBrowser()
  const { page } = await openConsole(browser, system.play.url)
  console.log('frames per second, idle:', await framesOf(page))
  const finished = new AbortController()
  const appending = appendViews(system, finished.signal)
  try {
    await sleep(OPENED_MS)
    console.log(`frames per second, ${VIEWS_PER_SECOND} views/s:`, await framesOf(page))
  } finally {
    finished.abort()
    await appending
  }
}

async function fillCatalogue({ metadata, cdnurl }: System): Promise<void> {
  await using directory = await createTempDirectory('bench-console')
  const file = join(directory.path, 'catalogue.jsonl')
  const assets = Array.from({ length: ASSETS }, (_, n) => {
    const id = `bench-${n}`
    const [title, summary] = [`A title of usual length, ${n}`, 'A summary of one or two sentences.']
    return JSON.stringify({ id, title, genre: 'drama', summary, url: `https://cdn.example/${id}.mp4` })
  })
  await writeFile(file, assets.join('\n'))
  const env = { ...process.env, METADATA_URL: metadata.url, CDNURL_URL: cdnurl.url }
  await promisify(execFile)('bash', ['scripts/seed.sh'], { env })
  await promisify(execFile)('bash', ['scripts/seed.sh', file], { env })
}

async function appendViews({ nats: { url } }: System, signal: AbortSignal): Promise<void> {
  await using eventLog = await openNatsEventLog(url)
  const producer = eventLog.producer('/bench')
  const startedAt = performance.now()
  for (let message = 0; !signal.aborted; message += 1) {
    await sleep(Math.max(0, startedAt + (message * VIEWS_PER_MESSAGE * 1_000) / VIEWS_PER_SECOND - performance.now()))
    const at = new Date().toISOString()
    const views = Array.from({ length: VIEWS_PER_MESSAGE }, () => {
      return { id: randomUUIDv7(), at, assetId: `bench-${draw(ASSETS)}`, userId: `u${draw(USERS)}` }
    })
    await producer.append(views, AbortSignal.timeout(5_000))
  }
}

/** Measures a page's frames per second, and the time between frames in milliseconds. */
async function framesOf(page: Page): Promise<{ perSecond: number; p99: number; max: number }> {
  // The code is a string, because it runs in the page, where the globals differ.
  const intervals = await page.evaluate<number[]>(`(async () => {
    const intervals = []
    for (let last = performance.now(), until = last + ${FRAMES_MS}; last < until; ) {
      const now = await new Promise((resolve) => requestAnimationFrame(resolve))
      if (now > last) intervals.push(now - last)
      last = now
    }
    return intervals
  })()`)
  const sorted = intervals.toSorted((a, b) => a - b)
  return {
    perSecond: Math.round((intervals.length * 1_000) / FRAMES_MS),
    p99: Math.round(sorted[Math.floor(0.99 * sorted.length)] ?? Number.NaN),
    max: Math.round(sorted.at(-1) ?? Number.NaN),
  }
}

function draw(count: number): number {
  return Math.floor(Math.random() * count)
}
