import { UpstreamError } from '../shared/client/service-client.ts'
import type { LogPosition } from '../shared/contracts/position.ts'
import { type EventLog, type LogBatch, ReadInterruptedError } from '../shared/event-log/event-log.ts'
import { NatsDownError } from '../shared/nats/link.ts'
import type { Logger } from '../shared/runtime/log.ts'
import { toReason } from '../shared/runtime/reason.ts'
import { retry } from '../shared/runtime/retry.ts'
import { sleep } from '../shared/runtime/sleep.ts'
import { createTransitionLog, type TransitionLog } from '../shared/runtime/transition-log.ts'
import { deliver } from './deliver.ts'
import { reportUntilBehind } from './log-report.ts'
import { readAhead } from './read-ahead.ts'
import type { ReportingClient } from './reporting-client.ts'
import { standBy } from './standby.ts'
import type { StoreCheck } from './store-check.ts'
import type { Suspension } from './suspension.ts'

/**
 * Minimum interval between batches at the end of the log. A single view is forwarded immediately. Under load, the
 * interval halves the CPU time that queue-listener and reporting use, compared with one batch per message.
 */
const MIN_BATCH_INTERVAL_MS = 10

/**
 * At the end of the log, the interval is at least this multiple of the batch's delivery time, because Postgres takes
 * over a millisecond per batch, however few views the batch has. The maximum bounds how far the counts lag.
 */
const MIN_INTERVALS = 10
const MAX_BATCH_INTERVAL_MS = 100

/** Bounds the number of lost responses to remember while every batch fails. */
const MAX_UNSETTLED = 100

type Deps = {
  eventLog: EventLog
  reporting: ReportingClient
  stores: Pick<StoreCheck, 'assertOneStore' | 'untilDifferent'>
  suspension: Pick<Suspension, 'suspend' | 'resume'>
  log: Logger
  /** Called with each batch that reporting has counted. */
  onForwarded: (batch: LogBatch) => void
  /** Failures are not logged for this long after the start, because the other services may still be starting. */
  coldStartMs?: number
  standbyMs?: number
  checkMs?: number
}

/**
 * Forwards the log to reporting, batch by batch, until `signal` aborts. Forwarding is stateless: it starts at
 * reporting's position, and resumes there after any failure.
 *
 * Multiple instances may run. reporting rejects a batch that does not start at its position, so if two instances send
 * the same batch, reporting counts it once. The instance whose batch is rejected becomes a standby until the position
 * stalls while the log grows.
 */
export async function forward(deps: Deps, signal: AbortSignal): Promise<void> {
  const { log, suspension, coldStartMs = 0 } = deps
  const unsettled = createUnsettled()
  /** Causes of failures since forwarding last made progress. Each is logged once, so that no failure hides another. */
  const failures = new Set<string>()
  const startedAt = performance.now()
  const logReport = createTransitionLog(log, {
    failing: 'cannot report the end of the log; retrying',
    recovered: 'end-of-log reports succeed again',
  })

  function isExpected(error: unknown): boolean {
    // The NATS link logs its own state, and a reader that the server removed is simply replaced.
    if (error instanceof NatsDownError || error instanceof ReadInterruptedError) return true
    return performance.now() - startedAt < coldStartMs
  }

  function logOutcome(error?: unknown): void {
    if (error === undefined || !isExpected(error)) logReport(error)
  }

  await retry(
    async (resetBackoff) => {
      while (!signal.aborted) {
        let last: Outcome | undefined
        for await (last of forwardBatches({ ...deps, unsettled, logOutcome, onReported: suspension.resume }, signal)) {
          resetBackoff()
          failures.clear()
        }
        // Stand by only after the loop, because the reader and the periodic reports stop when it ends.
        if (last === 'overtaken') await standBy({ ...deps, onReported: suspension.resume }, signal)
      }
    },
    {
      signal,
      onFailure(err) {
        if (suspension.suspend(err) || isExpected(err)) return
        const cause = causeOf(err)
        if (!failures.has(cause)) log.warn({ err }, 'forwarding interrupted; retrying')
        failures.add(cause)
      },
    },
  )
}

/** Distinguishes an upstream's failures: refused connections, timeouts, and each unexpected status. */
function causeOf(error: unknown): string {
  if (error instanceof UpstreamError || !(error instanceof Error)) return toReason(error)
  return error.name
}

/** `settled`: reporting counted an earlier batch whose response was lost. */
type Outcome = 'counted' | 'overtaken' | 'behind' | 'settled'

type ForwardingDeps = Deps & {
  logOutcome: TransitionLog
  onReported: () => void
  unsettled: Unsettled
}

/**
 * Yields the outcome of each batch. Ends after a batch is rejected, when reporting loses its counts, and when the
 * instances of reporting no longer share a store.
 * @throws StoresDifferError
 */
async function* forwardBatches(deps: ForwardingDeps, signal: AbortSignal): AsyncGenerator<Outcome> {
  const { eventLog, reporting, stores, unsettled } = deps
  // Check before reading the position: batches must go to the store that the position comes from.
  await stores.assertOneStore()
  let position = await reporting.position(signal)
  const done = new AbortController()
  void reportUntilBehind(deps, () => position, done.signal).then(() => done.abort())
  void stores.untilDifferent(done.signal).then(() => done.abort())
  try {
    const ended = AbortSignal.any([signal, done.signal])
    for await (const batch of readAhead(eventLog, position, ended, reporting.prepare)) {
      const startedAt = performance.now()
      const conflict = await deliver({ ...deps, onUnsettled: unsettled.add }, batch, signal)
      const intervalMs = toIntervalMs(performance.now() - startedAt)
      if (conflict) return yield toOutcome(conflict.batch, conflict.position, unsettled)
      unsettled.clear()
      position = { incarnation: batch.incarnation, sequence: batch.through }
      yield 'counted'
      const waitMs = startedAt + intervalMs - performance.now()
      if (batch.pending === 0 && waitMs > 0) await sleep(waitMs, signal)
    }
  } finally {
    done.abort()
  }
}

function toIntervalMs(deliveryMs: number): number {
  return Math.min(Math.max(MIN_BATCH_INTERVAL_MS, MIN_INTERVALS * deliveryMs), MAX_BATCH_INTERVAL_MS)
}

/**
 * If reporting is ahead of the batch, another instance was faster, unless the position is the end of an earlier batch
 * from this instance. If reporting is behind the batch, it has lost its counts.
 */
function toOutcome(batch: LogBatch, position: LogPosition | undefined, unsettled: Unsettled): Outcome {
  if (position && position.incarnation !== batch.incarnation) {
    throw new Error(`reporting is at incarnation ${position.incarnation} of the log and rejects ${batch.incarnation}`)
  }
  if (!position || position.sequence <= batch.after) return 'behind'
  return unsettled.has(position) ? 'settled' : 'overtaken'
}

type Unsettled = ReturnType<typeof createUnsettled>

/** The ends of the batches whose responses were lost since the last counted batch. */
function createUnsettled() {
  const ends: LogPosition[] = []
  return {
    add(end: LogPosition): void {
      if (ends.push(end) > MAX_UNSETTLED) ends.shift()
    },
    clear(): void {
      ends.length = 0
    },
    has: (end: LogPosition) =>
      ends.some(({ incarnation, sequence }) => incarnation === end.incarnation && sequence === end.sequence),
  }
}
