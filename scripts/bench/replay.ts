import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { createViewCounts } from '../../reporting/maps/view-counts.ts'
import { Position } from '../../shared/contracts/position.ts'
import type { View } from '../../shared/contracts/view.ts'
import { eventually } from '../../tests/harness/eventually.ts'
import { openNatsEventLog } from '../../tests/harness/nats-event-log.ts'
import { startNatsServer } from '../../tests/harness/nats-server.ts'
import { getJson } from '../../tests/harness/plays.ts'
import { startService } from '../../tests/harness/service-process.ts'

const VIEWS = 1_000_000
const VIEWS_PER_MESSAGE = 100
const TIMEOUT_MS = 120_000

/** Measures how fast an empty reporting replays a log, and the memory that its counts use. */
export async function measureReplay(): Promise<string> {
  await using nats = await startNatsServer()
  const end = await fill(nats.url)
  await using reporting = await startService('reporting')
  const since = performance.now()
  await using _ = await startService('queue-listener', { NATS_URL: nats.url, REPORTING_URL: reporting.url })
  await eventually(async () => {
    const position = Position.nullable().parse(await getJson(`${reporting.url}/events/position`))
    if (position?.sequence !== end) throw new Error(`reporting is at ${position?.sequence}, the log ends at ${end}`)
  }, TIMEOUT_MS)
  const perSecond = VIEWS / ((performance.now() - since) / 1_000)
  return [
    `replay of ${VIEWS.toLocaleString('en')} views in messages of ${VIEWS_PER_MESSAGE}, including the start of queue-listener: \
${Math.round(perSecond).toLocaleString('en')} views/s`,
    `memory per counted user at ${VIEWS.toLocaleString('en')} users: ${Math.round(bytesPerUser())} bytes`,
  ].join('\n')
}

/** @returns the sequence number of the last message */
async function fill(url: string): Promise<number> {
  const { signal } = new AbortController()
  await using eventLog = await openNatsEventLog(url)
  const producer = eventLog.producer('/bench')
  for (let n = 0; n < VIEWS; n += VIEWS_PER_MESSAGE) await producer.append(createViews(n, VIEWS_PER_MESSAGE), signal)
  return (await eventLog.end()).sequence
}

/** Creates views that each have a different user. */
function createViews(from: number, count: number): View[] {
  const at = new Date().toISOString()
  return Array.from({ length: count }, (_, n) => ({
    id: `view-${from + n}`,
    assetId: `bench-${(from + n) % 100}`,
    userId: `user-${from + n}@example.com`,
    at,
  }))
}

/** Heap growth per user. As in reporting, the views are parsed from JSON in batches. */
function bytesPerUser(): number {
  const collectGarbage = exposeGarbageCollector()
  const counts = createViewCounts()
  collectGarbage()
  const before = process.memoryUsage().heapUsed
  for (let n = 0; n < VIEWS; n += 10_000) {
    const views = JSON.parse(JSON.stringify(createViews(n, 10_000)))
    counts.apply({ incarnation: 'bench', after: n, through: n + 10_000, views })
  }
  collectGarbage()
  const bytes = process.memoryUsage().heapUsed - before
  // Keeps `counts` reachable during the second collection.
  if (counts.position()?.sequence !== VIEWS) throw new Error('not all views were counted')
  return bytes / VIEWS
}

function exposeGarbageCollector(): () => void {
  setFlagsFromString('--expose-gc')
  return runInNewContext('gc')
}
