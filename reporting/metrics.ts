import { Counter, Gauge } from 'prom-client'
import type { SerialRange } from '../shared/contracts/event-batch.ts'
import type { Logger } from '../shared/runtime/log.ts'
import type { Metrics } from '../shared/service/metrics.ts'
import type { CountStore } from './count-store.ts'
import type { Currentness } from './currentness.ts'
import { hasQualified } from './watch/watch-changes.ts'
import { IGNORED_REPORTS } from './watch/watching.ts'

const MAX_LOGGED_GAPS = 5

type Deps = { metrics: Metrics; log: Logger }

/** Instruments the counts with metrics, and logs lost views and new incarnations of the log. */
export function instrumentCounts({ metrics, log }: Deps, counts: CountStore): CountStore {
  const registers = [metrics]
  const views = new Counter({
    name: 'counted_views_total',
    help: 'Views counted, by source: the log, or a direct request',
    labelNames: ['source'],
    registers,
  })
  const verdicts = new Counter({
    name: 'views_total',
    help: "Views counted, by verdict: qualified; not-qualified or pending, with the rule's name as reason; or direct, for views that no rule judges. A pending view is counted again when it qualifies",
    labelNames: ['verdict', 'reason'],
    registers,
  })
  const ignored = new Counter({
    name: 'ignored_events_total',
    help: 'Events that are not views because their idempotency key was used before, by reason: retried (the same play), or key-reused (another play)',
    labelNames: ['reason'],
    registers,
  })
  const ignoredReports = new Counter({
    name: 'ignored_watch_reports_total',
    help: 'Watch-time reports that had no effect, by reason: unknown-view (the report takes effect if its view follows within 24 hours), other-play (the view has another asset or user), or unused (the view rules ignore watch time)',
    labelNames: ['reason'],
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
    help: 'Duplicate views in the log; they are not counted',
    registers,
  })
  const lost = new Counter({
    name: 'lost_views_total',
    help: "Views that the log acknowledged but lost, shown by gaps in their producers' serials",
    registers,
  })
  new Gauge({
    name: 'event_log_position',
    help: 'Sequence of the last message counted',
    registers,
    async collect() {
      await setIfAvailable(this, {}, async () => (await counts.position())?.sequence ?? 0)
    },
  })
  new Gauge({
    name: 'counted_ids',
    help: 'Assets and users with counts',
    labelNames: ['by'],
    registers,
    async collect() {
      for (const by of ['asset', 'user'] as const) await setIfAvailable(this, { by }, () => counts.size(by))
    },
  })
  for (const source of ['log', 'request']) views.inc({ source }, 0)
  for (const verdict of ['qualified', 'direct']) verdicts.inc({ verdict, reason: '' }, 0)
  for (const reason of ['retried', 'key-reused']) ignored.inc({ reason }, 0)
  for (const reason of IGNORED_REPORTS) ignoredReports.inc({ reason }, 0)
  for (const outcome of ['applied', 'refused']) batches.inc({ outcome }, 0)
  return {
    ...counts,
    async count(play) {
      const counted = await counts.count(play)
      views.inc({ source: 'request' })
      verdicts.inc({ verdict: 'direct', reason: '' })
      return counted
    },
    async apply(batch) {
      const applied = await counts.apply(batch)
      batches.inc({ outcome: applied ? 'applied' : 'refused' })
      if (!applied) return undefined
      if (batch.leaving) {
        const { leaving, incarnation } = batch
        log.warn(
          { leaving, incarnation },
          'the log was recreated; views from the new log are added to the existing counts',
        )
      }
      views.inc({ source: 'log' }, applied.views.length)
      duplicates.inc(applied.duplicates)
      for (const [verdict, own] of Map.groupBy(applied.views, ({ verdict }) => verdict)) {
        for (const [reason, { length }] of Map.groupBy(own, ({ reason = '' }) => reason))
          verdicts.inc({ verdict, reason }, length)
      }
      verdicts.inc({ verdict: 'qualified', reason: '' }, applied.grown.filter(hasQualified).length)
      for (const reason of applied.ignoredReports) ignoredReports.inc({ reason })
      ignored.inc({ reason: 'retried' }, applied.retried)
      ignored.inc({ reason: 'key-reused' }, applied.keysReused)
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

/** Sets a gauge to NaN while the store is unavailable, so that the other metrics stay readable. */
async function setIfAvailable(gauge: Gauge, labels: Record<string, string>, read: () => Promise<number>) {
  gauge.set(labels, await read().catch(() => Number.NaN))
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

function sizeOf(gaps: readonly SerialRange[]): number {
  return gaps.reduce((sum, { from, to }) => sum + to - from + 1, 0)
}
