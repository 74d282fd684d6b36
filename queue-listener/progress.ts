import { Counter, Gauge } from 'prom-client'
import type { Position } from '../shared/contracts/position.ts'
import type { Backlog, EventLog, LogBatch } from '../shared/event-log/event-log.ts'
import type { Metrics } from '../shared/runtime/metrics.ts'
import { unlessAborted } from '../shared/runtime/unless-aborted.ts'
import type { Reporting } from './reporting.ts'

/** A scrape does not wait any longer for those who are away. */
const ASK_MS = 1_000

type Deps = { metrics: Metrics; eventLog: Pick<EventLog, 'backlog'>; reporting: Pick<Reporting, 'position'> }

/**
 * Shows in the metrics how far the log is counted. The lag is asked for with each scrape, of reporting and the log, so
 * that it grows also while nothing is forwarded; where the log does not say, it has no value.
 */
export function createProgress({ metrics, eventLog, reporting }: Deps): (batch: LogBatch) => void {
  const registers = [metrics]
  const views = new Counter({ name: 'forwarded_views_total', help: 'Views that reporting counted', registers })
  const rejected = new Counter({
    name: 'rejected_messages_total',
    help: 'Messages of the log that were no valid batch of views',
    registers,
  })
  const position = new Gauge({ name: 'event_log_position', help: 'Sequence of the last message counted', registers })
  let counted: Position | undefined

  let measuring: Promise<Backlog | undefined> | undefined

  async function measureLag(): Promise<Backlog> {
    const signal = AbortSignal.timeout(ASK_MS)
    counted = await reporting.position(signal).catch(() => counted)
    return unlessAborted(eventLog.backlog(counted), signal)
  }

  /** Both gauges of one scrape are told the same; undefined where the log does not say. */
  function lag(): Promise<Backlog | undefined> {
    measuring ??= measureLag()
      .catch(() => undefined)
      .finally(() => {
        measuring = undefined
      })
    return measuring
  }

  new Gauge({
    name: 'event_log_lag_messages',
    help: 'Messages of the log not yet counted',
    registers,
    async collect() {
      this.set((await lag())?.messages ?? Number.NaN)
    },
  })
  new Gauge({
    name: 'event_log_lag_seconds',
    help: 'How long the first message that is not yet counted has been in the log',
    registers,
    async collect() {
      this.set(secondsOf(await lag()))
    },
  })

  return (batch) => {
    counted = { stream: batch.stream, sequence: batch.through }
    views.inc(batch.views.length)
    rejected.inc(batch.rejected)
    position.set(batch.through)
  }
}

/** Not below 0 where the clocks of this machine and the log's differ. */
function secondsOf(lag: Backlog | undefined): number {
  if (!lag) return Number.NaN
  return lag.since ? Math.max(0, Date.now() - lag.since.getTime()) / 1_000 : 0
}
