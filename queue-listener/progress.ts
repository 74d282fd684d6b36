import { Counter, Gauge } from 'prom-client'
import type { LogPosition } from '../shared/contracts/position.ts'
import type { Backlog, DeadLetters, EventLog, LogBatch } from '../shared/event-log/event-log.ts'
import { raceAbort } from '../shared/runtime/race-abort.ts'
import type { Metrics } from '../shared/service/metrics.ts'
import type { ReportingClient } from './reporting-client.ts'

/** Bounds how long an unreachable dependency delays a scrape. */
const MEASURE_TIMEOUT_MS = 1_000

type Deps = {
  metrics: Metrics
  eventLog: Pick<EventLog, 'backlog'> & { deadLetters: Pick<DeadLetters, 'count'> }
  reporting: Pick<ReportingClient, 'position'>
}

/**
 * Exposes counting progress and lag. The lag is measured on each scrape, so that it grows even while nothing is
 * forwarded. It is NaN while the log is unavailable.
 * @returns a function to call with each batch that reporting has counted
 */
export function createProgress({ metrics, eventLog, reporting }: Deps): (batch: LogBatch) => void {
  const registers = [metrics]
  const views = new Counter({ name: 'forwarded_views_total', help: 'Views that reporting counted', registers })
  const deadLetters = new Counter({
    name: 'rejected_messages_total',
    help: 'Dead letters: messages in the log that are not a valid batch of views',
    registers,
  })
  const position = new Gauge({ name: 'event_log_position', help: 'Sequence of the last message counted', registers })
  let counted: LogPosition | undefined
  let measuring: Promise<Backlog | undefined> | undefined

  async function measure(): Promise<Backlog> {
    const signal = AbortSignal.timeout(MEASURE_TIMEOUT_MS)
    counted = await reporting.position(signal).catch(() => counted)
    return raceAbort(eventLog.backlog(counted), signal)
  }

  /** The two lag gauges share one measurement per scrape. Resolves to undefined while the log is unavailable. */
  function lag(): Promise<Backlog | undefined> {
    measuring ??= measure()
      .catch(() => undefined)
      .finally(() => {
        measuring = undefined
      })
    return measuring
  }

  new Gauge({
    name: 'event_log_lag_messages',
    help: 'Messages in the log that are not counted yet',
    registers,
    async collect() {
      this.set((await lag())?.messages ?? Number.NaN)
    },
  })
  new Gauge({
    name: 'event_log_lag_seconds',
    help: 'Age of the oldest message that is not counted yet',
    registers,
    async collect() {
      this.set(toAge(await lag()))
    },
  })
  new Gauge({
    name: 'dead_letters',
    help: 'Dead letters that are neither replayed nor deleted',
    registers,
    async collect() {
      const counting = raceAbort(eventLog.deadLetters.count(), AbortSignal.timeout(MEASURE_TIMEOUT_MS))
      this.set(await counting.catch(() => Number.NaN))
    },
  })

  return (batch) => {
    counted = { incarnation: batch.incarnation, sequence: batch.through }
    views.inc(batch.views.length)
    deadLetters.inc(batch.deadLetters)
    position.set(batch.through)
  }
}

/**
 * Returns the age of the oldest uncounted message in seconds. A negative age, which clock skew between this machine
 * and the log could cause, is clamped to 0.
 */
export function toAge(lag: Backlog | undefined): number {
  if (!lag) return Number.NaN
  return lag.since ? Math.max(0, Date.now() - lag.since.getTime()) / 1_000 : 0
}
