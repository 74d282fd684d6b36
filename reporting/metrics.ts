import { Counter, Gauge } from 'prom-client'
import type { Metrics } from '../shared/service/metrics.ts'
import type { Currentness } from './currentness.ts'
import type { ViewCounts } from './view-counts.ts'

/** Adds metrics to the counts. */
export function instrumentCounts(metrics: Metrics, counts: ViewCounts): ViewCounts {
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
      if (applied) views.inc({ source: 'log' }, batch.views.length)
      batches.inc({ outcome: applied ? 'applied' : 'refused' })
      return applied
    },
  }
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
