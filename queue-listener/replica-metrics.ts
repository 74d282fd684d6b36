import { Gauge } from 'prom-client'
import type { EventLog } from '../shared/event-log/event-log.ts'
import type { Metrics } from '../shared/service/metrics.ts'

/** Exposes the log's replica counts, if the log is replicated. There are no samples while the log is unreachable. */
export function exposeReplicas(metrics: Metrics, { replicas }: Pick<EventLog, 'replicas'>): void {
  if (!replicas) return
  new Gauge({
    name: 'event_log_replicas',
    help: 'Replicas of the log: wanted (EVENTS_REPLICAS), configured, and online, which is 0 without a leader',
    labelNames: ['kind'],
    registers: [metrics],
    collect() {
      this.reset()
      for (const [kind, count] of Object.entries(replicas() ?? {})) if (count !== undefined) this.set({ kind }, count)
    },
  })
}
