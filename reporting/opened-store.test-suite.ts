import type { CountStore, ReportObserver } from './count-store.ts'

/** A store, and what else uses the same data. */
export type Opened = AsyncDisposable & {
  counts: CountStore
  /** Other instances over the same data. */
  others: CountStore[]
  /** Replaces all instances, as a restart would. */
  restart(): Promise<Opened>
}

/** A count store, for its conformance suites. */
export type Store = {
  /** Opens an empty store. */
  open(onReport?: ReportObserver): Promise<Opened>
  /** True if the counts survive a restart. */
  isPersistent: boolean
  /** Runs of each property. */
  numRuns: number
}
