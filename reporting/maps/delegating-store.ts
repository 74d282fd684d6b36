import type { CountStore, LogReport } from '../count-store.ts'

/** The stores to call: `forReport` for batches from the log and reports about it, and `current` for everything else. */
type Stores = {
  current: () => CountStore
  forReport?: (report: LogReport) => Promise<CountStore>
}

/** A store that delegates each call to another store, which may change over time. */
export function createDelegatingStore({ current, forReport = async () => current() }: Stores): CountStore {
  return {
    id: () => current().id(),
    counts: async (by, id) => current().counts(by, id),
    lookUp: async (ids) => current().lookUp(ids),
    listViews: async (ids, producer) => current().listViews(ids, producer),
    top: async (by, of, limit) => current().top(by, of, limit),
    size: async (by) => current().size(by),
    count: async (play) => current().count(play),
    position: async () => current().position(),
    apply: async (batch) => (await forReport(batch)).apply(batch),
    report: async (report) => (await forReport(report)).report(report),
    lost: async () => current().lost(),
    explain: async (id) => current().explain(id),
    knownSince: async () => current().knownSince(),
    audit: async () => current().audit(),
    series: async (range) => current().series(range),
    follow: (publish) => current().follow(publish),
  }
}
