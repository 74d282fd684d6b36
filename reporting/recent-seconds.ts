import { LIVE_SECONDS } from '../shared/contracts/live.ts'

/** Tolerated clock skew between machines. */
const MAX_SKEW_SECONDS = 5

export type RecentSeconds = {
  /**
   * Counts each view in the second that contains its `at` (milliseconds since 1970). Ignores views outside the window.
   */
  add(views: readonly { at: number }[]): void
  /** Views by Unix time in seconds, unordered; seconds without views are absent. */
  counts(): ReadonlyMap<number, number>
}

/** Views per second over the last 300 seconds, initialized with `restored`. */
export function createRecentSeconds(restored: Iterable<[second: number, views: number]> = []): RecentSeconds {
  const counts = new Map(restored)

  function dropOld(now: number): void {
    for (const second of counts.keys()) if (second <= now - LIVE_SECONDS) counts.delete(second)
  }

  return {
    add(views) {
      const now = Math.floor(Date.now() / 1_000)
      for (const { at } of views) {
        const second = Math.floor(at / 1_000)
        if (second <= now - LIVE_SECONDS || second > now + MAX_SKEW_SECONDS) continue
        const count = counts.get(second)
        counts.set(second, (count ?? 0) + 1)
        if (count === undefined) dropOld(now)
      }
    },
    counts() {
      dropOld(Math.floor(Date.now() / 1_000))
      return counts
    },
  }
}
