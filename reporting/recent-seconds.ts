import { LIVE_SECONDS } from '../shared/contracts/live.ts'

/** Tolerated clock skew between machines. */
const MAX_SKEW_SECONDS = 5

export type RecentSeconds = {
  /**
   * Counts each view in the second of its `at`, in milliseconds since 1970 or as RFC 3339. Ignores views outside the
   * window.
   */
  add(views: readonly { at: number | string }[]): void
  /** Views by Unix time in seconds, unordered; seconds without views are absent. */
  counts(): ReadonlyMap<number, number>
}

/** Views per second over the last 300 seconds, starting with the `restored` ones. */
export function createRecentSeconds(restored: Iterable<[second: number, views: number]> = []): RecentSeconds {
  const counts = new Map(restored)
  const toSecond = createSecondParser()

  function dropOld(now: number): void {
    for (const second of counts.keys()) if (second <= now - LIVE_SECONDS) counts.delete(second)
  }

  return {
    add(views) {
      const now = Math.floor(Date.now() / 1_000)
      for (const { at } of views) {
        const second = typeof at === 'number' ? Math.floor(at / 1_000) : toSecond(at)
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

const PREFIX_LENGTH = 'yyyy-mm-ddThh:mm:ss'.length

/** Caches the last parsed prefix, because consecutive views mostly fall in the same second. */
function createSecondParser(): (at: string) => number {
  let prefix = 'none'
  let second = Number.NaN
  return (at) => {
    if (at.slice(0, PREFIX_LENGTH) === prefix && at.endsWith('Z')) return second
    second = Math.floor(Date.parse(at) / 1_000)
    prefix = at.endsWith('Z') ? at.slice(0, PREFIX_LENGTH) : 'none'
    return second
  }
}
