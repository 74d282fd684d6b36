import type { CountStore, ReportObserver } from '../count-store.ts'
import { type Capacity, unlimited } from './capacity.ts'
import { type CountState, createCountState } from './count-state.ts'
import { createLiveCounts } from './live-counts.ts'
import { listViews, lookUp } from './look-up.ts'
import { createViewCounts } from './view-counts.ts'

type Options = { capacity?: Capacity; onReport?: ReportObserver; state?: CountState }

/** A count store in memory. */
export function createMapCountStore({
  capacity = unlimited,
  onReport = () => {},
  state = createCountState(),
}: Options = {}): CountStore {
  const counts = createLiveCounts(createViewCounts(capacity, state), state)

  return {
    id: () => state.id,
    counts: async (by, id) => counts.counts(by, id),
    lookUp: async (ids) => lookUp(counts, ids),
    listViews: async (ids, producer) => listViews(counts, ids, producer),
    top: async (by, of, limit) => counts.top(by, of, limit),
    size: async (by) => counts.size(by),
    count: async (play) => counts.count(play),
    position: async () => counts.position(),
    async apply(batch) {
      const applied = counts.apply(batch)
      if (applied) onReport(batch, counts.position())
      return applied
    },
    async report(report) {
      onReport(report, counts.position())
      return counts.position()
    },
    lost: async () => counts.lost(),
    explain: async (id) => counts.explain(id),
    knownSince: async () => counts.knownSince(),
    audit: async () => counts.audit(),
    series: async (range) => counts.series(range),
    follow: counts.follow,
  }
}
