import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { createViewCounts } from '../../reporting/maps/view-counts.ts'
import { Audit } from '../../shared/contracts/audit.ts'
import type { View } from '../../shared/contracts/view.ts'
import { eventually } from '../../tests/harness/eventually.ts'
import { getJson } from '../../tests/harness/plays.ts'
import { startService } from '../../tests/harness/service-process.ts'
import { startFilledLog } from './filled-log.ts'

const VIEWS = 1_000_000
const TIMEOUT_MS = 120_000

/**
 * Measures how fast reporting replays a log from its start, and the memory that its counts use.
 * @throws Error unless the counts are correct
 */
export async function measureReplay(): Promise<string> {
  await using log = await startFilledLog({ views: VIEWS, users: VIEWS })
  await using reporting = await startService('reporting')
  const startedAt = performance.now()
  await using _ = await startService('queue-listener', { NATS_URL: log.url, REPORTING_URL: reporting.url })
  await eventually(async () => {
    const { views } = Audit.parse(await getJson(`${reporting.url}/events/audit`))
    if (views !== VIEWS) throw new Error(`${views} of ${VIEWS} views are counted`)
  }, TIMEOUT_MS)
  const perSecond = VIEWS / ((performance.now() - startedAt) / 1_000)
  await log.verify(reporting.url)
  return [
    `replay of ${VIEWS.toLocaleString('en')} views, appended as play does, including the start of queue-listener: \
${Math.round(perSecond).toLocaleString('en')} views/s`,
    `memory per counted user at ${VIEWS.toLocaleString('en')} users: ${Math.round(bytesPerUser())} bytes`,
  ].join('\n')
}

/** Creates views, each with a different user. */
function createViews(from: number, count: number): View[] {
  const at = new Date().toISOString()
  return Array.from({ length: count }, (_, n) => ({
    id: `view-${from + n}`,
    assetId: `bench-${(from + n) % 100}`,
    userId: `user-${from + n}@example.com`,
    at,
  }))
}

/** Measures the heap growth per user. As in reporting, the views are parsed from JSON in batches. */
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
