import type { CountedBy, CountStore, ReportObserver } from '../count-store.ts'
import { type Capacity, unlimited } from './capacity.ts'
import { type CountState, createCountState } from './count-state.ts'
import { createLiveCounts } from './live-counts.ts'
import { createViewCounts } from './view-counts.ts'

type Options = { capacity?: Capacity; onReport?: ReportObserver; state?: CountState }

/** A count store in memory. */
export function createMapCountStore({
  capacity = unlimited,
  onReport = () => {},
  state = createCountState(),
}: Options = {}): CountStore {
  const counts = createLiveCounts(createViewCounts(capacity, state), state)
  const countsOf = (by: CountedBy, ids: string[]) =>
    Object.fromEntries(ids.map((id) => [id, counts.views(by, id) ?? 0]))

  return {
    id: () => state.id,
    views: async (by, id) => counts.views(by, id),
    lookUp: async ({ assets, users }) => ({ assets: countsOf('asset', assets), users: countsOf('user', users) }),
    top: async (by, limit) => counts.top(by, limit),
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
    follow: counts.follow,
  }
}
