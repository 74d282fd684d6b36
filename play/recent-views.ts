import type { View } from '../shared/contracts/view.ts'
import { eventCodec } from '../shared/records/event-codec.ts'
import { createRecentRecords } from '../shared/records/recent-records.ts'
import type { Append } from './recorder.ts'

/** Maximum number of remembered views, at about 60 bytes each. */
const MAX_VIEWS = 50_000

export type RecentView = Pick<View, 'id' | 'assetId' | 'userId' | 'at'>

export type RecentViews = {
  get(id: string): RecentView | undefined
  /** Remembers the views from successful appends. */
  observe(append: Append): Append
}

/**
 * Remembers the most recent views that this process recorded. They are encoded as records, because objects that live
 * for seconds make V8 collect the whole heap every few seconds, which delays plays.
 */
export function createRecentViews(max = MAX_VIEWS): RecentViews {
  const recent = createRecentRecords({ max, codec: eventCodec })
  return {
    get(id) {
      const found = recent.find(id)
      return found && { ...found, at: new Date(found.at).toISOString() }
    },
    observe: (append) =>
      async function observedAppend(views, signal) {
        const recorded = await append(views, signal)
        for (const { id, assetId, userId, at, watched } of views)
          if (!watched) recent.add({ id, assetId, userId, at: Date.parse(at) })
        return recorded
      },
  }
}
