import type { ReportObserver } from '../count-store.ts'
import type { State } from './state.ts'

/** At startup, a report older than this is stale, because queue-listener reports every 500 ms. */
const FRESH_MS = 1_000

type ReportWatch = {
  /** Receives the state that a statement of this instance returned. */
  take(state: State): void
  /** Starts a poll. Returns a function that receives the polled state. */
  poll(): (state: State) => void
}

/** Passes each report to `onReport` once, whichever instance received it. */
export function createReportWatch(onReport: ReportObserver): ReportWatch {
  let taken: number | undefined

  function take(state: State): void {
    if (taken !== undefined && state.reports <= taken) return
    const isStale = taken === undefined && state.reportAgeMs > FRESH_MS
    taken = state.reports
    if (state.report && !isStale) onReport(state.report, state.position, state.reportAgeMs)
  }

  return {
    take,
    poll() {
      const before = taken
      return (state) => {
        // If a poll that started after the last report shows fewer reports, the database was restored from a backup.
        if (before === taken && taken !== undefined && state.reports < taken) taken = undefined
        take(state)
      }
    },
  }
}
