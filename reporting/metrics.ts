import { Counter, Gauge } from 'prom-client'
import type { SerialRange } from '../shared/contracts/event-batch.ts'
import type { Logger } from '../shared/runtime/log.ts'
import { UnavailableError } from '../shared/runtime/unavailable-error.ts'
import type { Metrics } from '../shared/service/metrics.ts'
import type { CountStore } from './count-store.ts'
import type { Currentness } from './currentness.ts'
import type { Capacity } from './maps/capacity.ts'

const MAX_LOGGED_GAPS = 5

type Deps = { metrics: Metrics; log: Logger }

/** Wraps the counts with metrics, and logs lost views. */
export function instrumentCounts({ metrics, log }: Deps, counts: CountStore): CountStore {
  const registers = [metrics]
  const views = new Counter({
    name: 'counted_views_total',
    help: 'Views counted, by source: the log, or a direct request',
    labelNames: ['source'],
    registers,
  })
  const batches = new Counter({
    name: 'event_batches_total',
    help: 'Batches from the log, by outcome: applied, or refused because they did not start at the current position',
    labelNames: ['outcome'],
    registers,
  })
  const duplicates = new Counter({
    name: 'duplicate_views_total',
    help: 'Views that the log contains more than once; each is counted once',
    registers,
  })
  const lost = new Counter({
    name: 'lost_views_total',
    help: 'Views that the log acknowledged and lost, shown by gaps in the serials of their producers',
    registers,
  })
  new Gauge({
    name: 'event_log_position',
    help: 'Sequence of the last message counted',
    registers,
    async collect() {
      await ifAvailable(async () => this.set((await counts.position())?.sequence ?? 0))
    },
  })
  new Gauge({
    name: 'counted_ids',
    help: 'Assets and users with counts',
    labelNames: ['by'],
    registers,
    async collect() {
      await ifAvailable(async () => {
        for (const by of ['asset', 'user'] as const) this.set({ by }, await counts.size(by))
      })
    },
  })
  for (const source of ['log', 'request']) views.inc({ source }, 0)
  for (const outcome of ['applied', 'refused']) batches.inc({ outcome }, 0)
  return {
    ...counts,
    async count(play) {
      const counted = await counts.count(play)
      views.inc({ source: 'request' })
      return counted
    },
    async apply(batch) {
      const applied = await counts.apply(batch)
      batches.inc({ outcome: applied ? 'applied' : 'refused' })
      if (!applied) return undefined
      views.inc({ source: 'log' }, applied.views.length)
      duplicates.inc(batch.views.length - applied.views.length)
      const lostViews = sizeOf(applied.gaps)
      lost.inc(lostViews)
      if (lostViews > 0) {
        const gaps = applied.gaps.slice(0, MAX_LOGGED_GAPS)
        log.error({ views: lostViews, gaps }, 'the log lost acknowledged views; they are not counted')
      }
      return applied
    },
  }
}

/** Exposes how much room the maps have. */
export function exposeCapacity(metrics: Metrics, { maxIds, isHeapFull }: Capacity): void {
  const registers = [metrics]
  new Gauge({ name: 'counted_ids_max', help: 'Maximum number of assets, and of users, with counts', registers }).set(
    maxIds,
  )
  new Gauge({
    name: 'counts_heap_full',
    help: '1 if the heap has no room for the counts of new ids, otherwise 0',
    registers,
    collect() {
      this.set(Number(isHeapFull()))
    },
  })
}

export function exposeCurrentness(metrics: Metrics, { isCurrent }: Pick<Currentness, 'isCurrent'>): void {
  new Gauge({
    name: 'counts_current',
    help: '1 while the counts reflect the log and are served, 0 while they are behind',
    registers: [metrics],
    collect() {
      this.set(isCurrent() ? 1 : 0)
    },
  })
}

/** While the store is unavailable, a gauge keeps its last value: its failure would fail the whole scrape. */
async function ifAvailable(set: () => Promise<void>): Promise<void> {
  await set().catch((error) => {
    if (!(error instanceof UnavailableError)) throw error
  })
}

function sizeOf(gaps: readonly SerialRange[]): number {
  return gaps.reduce((sum, { from, to }) => sum + to - from + 1, 0)
}
