import { Gauge } from 'prom-client'
import type { LogPosition } from '../shared/contracts/position.ts'
import type { Forwarding } from '../shared/contracts/readiness.ts'
import type { EventLog } from '../shared/event-log/event-log.ts'
import { createLagMeter } from '../shared/event-log/lag-meter.ts'
import type { Logger } from '../shared/runtime/log.ts'
import { raceAbort } from '../shared/runtime/race-abort.ts'
import { sleep } from '../shared/runtime/sleep.ts'
import type { Health } from '../shared/service/health.ts'
import type { Metrics } from '../shared/service/metrics.ts'
import type { Deliveries } from './deliveries.ts'
import { toAge } from './progress.ts'
import type { ReportingClient } from './reporting-client.ts'
import type { Suspension } from './suspension.ts'

const MEASURE_MS = 500
/** Timeout for each of the two calls per measurement. A stall must be visible within 7 s, even if reporting hangs. */
const MEASURE_TIMEOUT_MS = 500

/** If the lag is longer than this and the backlog does not shrink, counting is stalled. */
const STALLED_MS = 5_000
/** Messages do not count as waiting while the lag is shorter than this. */
const WAITING_MS = 1_000

type StallDetector = {
  /** @param messages the number of messages after the sequence `counted` */
  observe(counted: number, messages: number): void
  forwarding(): Forwarding
}

/**
 * Counting is stalled if it lags by more than 5 s and the backlog has not shrunk for 5 s. During a replay, the lag may
 * be longer, but the backlog shrinks.
 */
export function createStallDetector(now: () => number = () => performance.now()): StallDetector {
  const lag = createLagMeter(now)
  let measured: { messages: number; at: number }[] = []
  let startedAt: number | undefined
  let waiting: number | undefined

  /** The largest backlog in a period. The backlog rises and falls with each batch, so only its peaks show a trend. */
  function peak(from: number, to: number): number {
    return Math.max(...measured.filter(({ at }) => at >= from && at < to).map(({ messages }) => messages))
  }

  function state(): Forwarding['state'] {
    if (waiting === undefined || startedAt === undefined) return 'unknown'
    const start = now() - STALLED_MS
    const middle = now() - STALLED_MS / 2
    const isShrinking = Math.max(waiting, peak(middle, Number.POSITIVE_INFINITY)) < peak(start, middle)
    const isStalled = waiting > 0 && startedAt <= start && !isShrinking && lag.lagMs() >= STALLED_MS
    return isStalled ? 'stalled' : 'running'
  }

  return {
    observe(counted, messages) {
      const at = now()
      lag.observe(counted, counted + messages)
      measured = [...measured.filter((older) => at - older.at <= STALLED_MS), { messages, at }]
      startedAt ??= at
      waiting = messages
    },
    forwarding: () => ({ state: state(), waiting: waiting && lag.lagMs() >= WAITING_MS ? waiting : 0 }),
  }
}

type Deps = {
  eventLog: Pick<EventLog, 'backlog'>
  reporting: Pick<ReportingClient, 'position'>
  suspension: Pick<Suspension, 'reason'>
  deliveries: Pick<Deliveries, 'read'>
  log: Logger
  metrics: Metrics
  health: Pick<Health, 'describe'>
}

/**
 * Measures the backlog until `signal` aborts, independently of forwarding. Reports a stall in `/readyz`, as a metric
 * and as a log line.
 */
export async function watchForStall(deps: Deps, signal: AbortSignal) {
  const { eventLog, reporting, suspension, deliveries, log, metrics, health } = deps
  const { observe, forwarding: measured } = createStallDetector()
  let lagMs: number | null = null
  const forwarding = (): Forwarding => {
    const reason = suspension.reason()
    return reason === undefined ? measured() : { ...measured(), state: 'stalled', reason }
  }
  health.describe(() => ({ forwarding: forwarding(), delivery: { ...deliveries.read(), lagMs } }))
  new Gauge({
    name: 'event_log_stalled',
    help: '1 while counting is stalled: the lag is over 5 s and the backlog does not shrink, or counting is suspended',
    registers: [metrics],
    collect() {
      this.set(forwarding().state === 'stalled' ? 1 : 0)
    },
  })
  let counted: LogPosition | undefined
  let wasStalled = false
  while (!signal.aborted) {
    const withTimeout = () => AbortSignal.any([signal, AbortSignal.timeout(MEASURE_TIMEOUT_MS)])
    counted = await reporting.position(withTimeout()).catch(() => counted)
    const backlog = await raceAbort(eventLog.backlog(counted), withTimeout()).catch(() => undefined)
    lagMs = backlog ? toAge(backlog) * 1_000 : null
    if (backlog) observe(counted?.sequence ?? 0, backlog.messages)
    // Do not log a suspension here: `suspend` has already logged it.
    const isStalled = measured().state === 'stalled' && suspension.reason() === undefined
    if (isStalled && !wasStalled) log.error(forwarding(), 'counting has stalled')
    if (!isStalled && wasStalled) log.info('counting has resumed')
    wasStalled = isStalled
    await sleep(MEASURE_MS, signal)
  }
}
