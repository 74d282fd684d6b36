import { Counter, Gauge } from 'prom-client'
import type { Metrics } from '../shared/runtime/metrics.ts'
import type { Outbox } from './outbox.ts'
import type { Recorder } from './recorder.ts'

/** Shows in the metrics where views are recorded, and how many wait in the outbox. */
export function measureRecorder(metrics: Metrics, record: Recorder, outbox: Pick<Outbox, 'size'>): Recorder {
  const registers = [metrics]
  const views = new Counter({
    name: 'recorded_views_total',
    help: 'Views recorded, by where: in the log, or in the outbox from which they are brought to it',
    labelNames: ['place'],
    registers,
  })
  new Gauge({
    name: 'outbox_waiting_views',
    help: 'Views in the outbox that are not in the log yet',
    registers,
    collect() {
      this.set(sizeOf(outbox))
    },
  })
  const counters = { log: views.labels('log'), outbox: views.labels('outbox') }
  return async (play, requestId) => {
    const recorded = await record(play, requestId)
    counters[recorded].inc()
    return recorded
  }
}

/** Not a number where the disk does not say: no value is better than a wrong one. */
function sizeOf(outbox: Pick<Outbox, 'size'>): number {
  try {
    return outbox.size()
  } catch {
    return Number.NaN
  }
}
