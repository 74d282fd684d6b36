import { randomUUIDv7 } from 'node:crypto'
import pidusage from 'pidusage'
import type { View } from '../../shared/contracts/view.ts'
import { sleep } from '../../shared/runtime/sleep.ts'
import { jsonRequest } from '../../shared/testing/json-request.ts'
import { startChild } from '../../tests/harness/child.ts'
import { type ServiceProcess, startService } from '../../tests/harness/service-process.ts'

const SUBSCRIBERS = 1_000
const VIEWS_PER_SECOND = 1_000
const VIEWS_PER_BATCH = 10
const ASSETS = 500
const USERS = 10_000

/**
 * Measures the CPU time that subscribers to live counts cost reporting. The subscribers run in a separate process.
 */
export async function measureLive({ seconds }: { seconds: number }): Promise<string> {
  await using reporting = await startService('reporting')
  const url = `${reporting.url}/events/live`
  const finished = new AbortController()
  const posting = postViews(reporting.url, finished.signal)
  try {
    const counting = await coreShareOf(reporting, seconds)
    await using subscribers = startChild(process.execPath, ['scripts/bench/subscribers.ts', url, String(SUBSCRIBERS)])
    await subscribers.line((line) => line === 'all subscribed' || undefined)
    const receivedRate = subscribe(url, finished.signal)
    const both = await coreShareOf(reporting, seconds)
    const { events, bytes } = receivedRate()
    return `live counts at ${text(VIEWS_PER_SECOND)} views/s: ${text(SUBSCRIBERS)} subscribers cost reporting \
${(both - counting).toFixed(1)}% of a core, on top of ${counting.toFixed(1)}% for counting; \
${events.toFixed(1)} events/s of ${text(Math.round(bytes / events))} bytes to each`
  } finally {
    finished.abort()
    await posting
  }
}

/** CPU time as a percentage of one core, after a warm-up. */
async function coreShareOf(process: ServiceProcess, seconds: number): Promise<number> {
  await sleep(seconds * 1_000)
  const before = await pidusage(process.pid())
  await sleep(seconds * 2_000)
  const after = await pidusage(process.pid())
  return ((after.ctime - before.ctime) / (after.timestamp - before.timestamp)) * 100
}

/**
 * Adds one subscriber that counts the events and bytes it receives.
 * @returns a function that returns the rates per second since the start
 */
function subscribe(url: string, signal: AbortSignal): () => { events: number; bytes: number } {
  let [events, bytes] = [0, 0]
  const startedAt = performance.now()
  const read = async () => {
    const { body } = await fetch(url, { signal })
    for await (const chunk of body ?? []) {
      events += Buffer.from(chunk).toString('latin1').split('event: ').length - 1
      bytes += chunk.length
    }
  }
  read().catch(() => undefined)
  return () => {
    const seconds = (performance.now() - startedAt) / 1_000
    return { events: events / seconds, bytes: bytes / seconds }
  }
}

async function postViews(url: string, signal: AbortSignal): Promise<void> {
  const startedAt = performance.now()
  for (let after = 0; !signal.aborted; after += 1) {
    const due = startedAt + (after * VIEWS_PER_BATCH * 1_000) / VIEWS_PER_SECOND
    await sleep(Math.max(0, due - performance.now()))
    const batch = { stream: 'bench', after, through: after + 1, views: randomViews() }
    const response = await fetch(`${url}/events`, jsonRequest(batch))
    if (!response.ok) throw new Error(`reporting responded with ${response.status}`)
    await response.arrayBuffer()
  }
}

function randomViews(): View[] {
  const draw = (count: number) => Math.floor(Math.random() * count)
  const at = new Date().toISOString()
  return Array.from({ length: VIEWS_PER_BATCH }, () => ({
    id: randomUUIDv7(),
    assetId: `asset-${draw(ASSETS)}`,
    userId: `user-${draw(USERS)}@example.com`,
    at,
  }))
}

function text(count: number): string {
  return count.toLocaleString('en')
}
