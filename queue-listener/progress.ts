import { Counter, Gauge } from 'prom-client'
import type { LogBatch } from '../shared/event-log/event-log.ts'
import type { Metrics } from '../shared/runtime/metrics.ts'

/** Shows in the metrics how far the log is counted. */
export function createProgress(metrics: Metrics): (batch: LogBatch) => void {
  const registers = [metrics]
  const views = new Counter({ name: 'forwarded_views_total', help: 'Views that reporting counted', registers })
  const rejected = new Counter({
    name: 'rejected_messages_total',
    help: 'Messages of the log that were no valid batch of views',
    registers,
  })
  const position = new Gauge({ name: 'event_log_position', help: 'Sequence of the last message counted', registers })
  const lag = new Gauge({ name: 'event_log_lag_messages', help: 'Messages of the log not yet counted', registers })
  return (batch) => {
    views.inc(batch.views.length)
    rejected.inc(batch.rejected)
    position.set(batch.through)
    lag.set(batch.pending)
  }
}
