import { Gauge } from 'prom-client'
import { LogTruncatedError } from '../shared/event-log/extent.ts'
import type { Logger } from '../shared/runtime/log.ts'
import type { Metrics } from '../shared/service/metrics.ts'
import { StoresDifferError } from './store-check.ts'

type Cause = LogTruncatedError | StoresDifferError

/** Suspends counting if views would be lost, or counted in two stores, until an operator fixes the cause. */
export type Suspension = {
  /** Suspends counting and returns true if the error requires a suspension; otherwise returns false. */
  suspend(error: unknown): boolean
  resume(): void
  /** What happened and how to fix it; undefined while counting is not suspended. */
  reason(): string | undefined
}

/** Logs state transitions, and exposes the number of messages that the log lost before they were counted. */
export function createSuspension({ log, metrics }: { log: Logger; metrics: Metrics }): Suspension {
  let cause: Cause | undefined
  new Gauge({
    name: 'event_log_missing_messages',
    help: 'Messages that expired or were purged before they were counted; counting is suspended while there are any',
    registers: [metrics],
    collect() {
      this.set(cause instanceof LogTruncatedError ? cause.missing.to - cause.missing.from + 1 : 0)
    },
  })
  return {
    suspend(error) {
      if (!isCause(error)) return false
      if (cause?.name !== error.name) log.error({ err: error }, 'counting is suspended')
      cause = error
      return true
    },
    resume() {
      if (cause) log.info('counting is no longer suspended')
      cause = undefined
    },
    reason: () => cause?.message,
  }
}

function isCause(error: unknown): error is Cause {
  return error instanceof LogTruncatedError || error instanceof StoresDifferError
}
