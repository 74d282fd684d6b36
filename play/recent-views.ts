import { LRUCache } from 'lru-cache'
import type { View } from '../shared/contracts/view.ts'
import type { Append } from './recorder.ts'

/** About 250 bytes each. */
const MAX_VIEWS = 50_000

export type RecentView = Pick<View, 'id' | 'assetId' | 'userId' | 'at'>

export type RecentViews = {
  get(id: string): RecentView | undefined
  /** Remembers the views of successful appends. */
  observe(append: Append): Append
}

/** The last views that this process recorded. */
export function createRecentViews(max = MAX_VIEWS): RecentViews {
  const recent = new LRUCache<string, RecentView>({ max })
  return {
    get: (id) => recent.get(id),
    observe: (append) =>
      async function observedAppend(views, signal) {
        const place = await append(views, signal)
        for (const { id, assetId, userId, at, watched } of views)
          if (!watched) recent.set(id, { id, assetId, userId, at })
        return place
      },
  }
}
