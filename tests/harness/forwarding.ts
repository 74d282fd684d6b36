import { pino } from 'pino'
import { forward } from '../../queue-listener/forward.ts'
import type { LogReport, ReportingClient } from '../../queue-listener/reporting-client.ts'
import type { StoreCheck } from '../../queue-listener/store-check.ts'
import { createSuspension } from '../../queue-listener/suspension.ts'
import type { LogPosition } from '../../shared/contracts/position.ts'
import type { View } from '../../shared/contracts/view.ts'
import type { EventLog, LogBatch } from '../../shared/event-log/event-log.ts'
import { createSqliteEventLog } from '../../shared/event-log/sqlite-event-log.ts'
import { createMetrics } from '../../shared/service/metrics.ts'

type Deps = Parameters<typeof forward>[0]
type Options = Partial<Pick<Deps, 'eventLog' | 'onForwarded' | 'standbyMs' | 'checkMs' | 'coldStartMs' | 'stores'>>

/** The store check for a single instance of reporting: there is always one store. */
const oneStore: Pick<StoreCheck, 'assertOneStore' | 'untilDifferent'> = {
  assertOneStore: async () => {},
  untilDifferent: () => new Promise(() => {}),
}

export type ForwardingTest = ReturnType<typeof openForwarding>

/** Opens a log, by default in memory. Any number of instances can forward its views. Disposal stops the instances. */
export function openForwarding(
  eventLog: EventLog = createSqliteEventLog({ file: ':memory:', log: pino({ level: 'silent' }) }),
) {
  const producer = eventLog.producer('/test')
  const stopping = new AbortController()
  const forwarding: Promise<void>[] = []
  const logged: string[] = []
  const log = pino({}, { write: (line: string) => logged.push(JSON.parse(line).msg) })

  async function stop(): Promise<void> {
    stopping.abort()
    await Promise.all(forwarding)
  }

  return {
    eventLog,
    /** The messages logged by all instances. */
    logged,
    /** Appends one view per id, each in a separate message. */
    async append(...ids: string[]): Promise<void> {
      const view = (id: string): View => ({ id, assetId: '456', userId: '8', at: '2026-11-20T21:00:00Z' })
      for (const id of ids) await producer.append([view(id)], stopping.signal)
    },
    /** Starts an instance, which stops when `until` aborts. */
    listen(reporting: ReportingClient, options: Options = {}, until = stopping): void {
      const suspension = createSuspension({ log, metrics: createMetrics() })
      const common = { eventLog, reporting, stores: oneStore, suspension, log }
      const deps = { ...common, onForwarded() {}, standbyMs: 50, checkMs: 20, ...options }
      forwarding.push(forward(deps, AbortSignal.any([stopping.signal, until.signal])))
    },
    /** Stops all instances, and waits until they have stopped. */
    stop,
    async [Symbol.asyncDispose]() {
      await stop()
      await eventLog[Symbol.asyncDispose]()
    },
  }
}

export type FakeReporting = ReportingClient & {
  /** The ids of the counted views. */
  counted: string[]
  /** The times at which the position was read. */
  attempts: number[]
  reports: LogReport[]
  /** The number of rejected batches. */
  rejected: number
  isDown: boolean
  losesResponses: boolean
  at: LogPosition | undefined
  /** If set, reporting rejects every batch, and responds with this position. */
  rejectsAll: LogPosition | undefined
  beforePosition: () => void
  beforeCount: (batch: LogBatch) => void
  /** If this returns true, reporting rejects the batch as invalid. */
  isInvalid: (batch: LogBatch) => boolean
  restart(): void
  /** Advances the position by one message, as if another instance had forwarded it. */
  advance(incarnation: string): void
}

/**
 * Creates a fake reporting service. It counts a batch only if the batch starts at the current position. Tests can make
 * it fail, restart or lose responses.
 */
export function createFakeReporting(): FakeReporting {
  const fake: FakeReporting = {
    counted: [],
    attempts: [],
    rejected: 0,
    reports: [],
    isDown: false,
    losesResponses: false,
    at: undefined,
    rejectsAll: undefined,
    beforePosition: () => undefined,
    beforeCount: () => undefined,
    isInvalid: () => false,
    restart() {
      fake.counted = []
      fake.at = undefined
    },
    advance(incarnation) {
      fake.at = { incarnation, sequence: (fake.at?.sequence ?? 0) + 1 }
    },
    prepare: () => undefined,
    async position() {
      fake.attempts.push(performance.now())
      fake.beforePosition()
      if (fake.isDown) throw new Error('reporting is down')
      return fake.at
    },
    report(report, signal) {
      fake.reports.push(report)
      return fake.position(signal)
    },
    async count(batch) {
      if (fake.isDown) throw new Error('reporting is down')
      fake.beforeCount(batch)
      const { incarnation, after, through, views } = batch
      if (fake.isInvalid(batch)) return { outcome: 'invalid', reason: 'reporting returned 400' }
      if (fake.rejectsAll || after !== (fake.at?.sequence ?? 0)) {
        fake.rejected += 1
        return { outcome: 'conflict', position: fake.rejectsAll ?? fake.at }
      }
      fake.counted.push(...views.map(({ id }) => id))
      fake.at = { incarnation, sequence: through }
      if (fake.losesResponses) throw new Error('the response was lost')
      return { outcome: 'counted' }
    },
  }
  return fake
}
