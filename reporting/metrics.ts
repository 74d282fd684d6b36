import { Counter, Gauge } from 'prom-client'
import type { Logger } from '../shared/runtime/log.ts'
import type { Metrics } from '../shared/service/metrics.ts'
import type { ViewCounts } from './view-counts.ts'

/** Adds metrics to the counts, and logs losses. */
export function instrumentCounts({ metrics, log }: { metrics: Metrics; log: Logger }, counts: ViewCounts): ViewCounts {
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
    collect() {
      this.set(counts.position()?.sequence ?? 0)
    },
  })
  for (const source of ['log', 'request']) views.inc({ source }, 0)
  for (const outcome of ['applied', 'refused']) batches.inc({ outcome }, 0)
  return {
    ...counts,
    count(play) {
      views.inc({ source: 'request' })
      return counts.count(play)
    },
    apply(batch) {
      const applied = counts.apply(batch)
      batches.inc({ outcome: applied ? 'applied' : 'refused' })
      if (!applied) return undefined
      views.inc({ source: 'log' }, applied.views.length)
      duplicates.inc(batch.views.length - applied.views.length)
      for (const gap of applied.gaps) {
        lost.inc(gap.to - gap.from + 1)
        log.error(gap, 'the log lost acknowledged views: they are not counted')
      }
      return applied
    },
  }
}
