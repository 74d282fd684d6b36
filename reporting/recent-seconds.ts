import { LIVE_SECONDS } from '../shared/contracts/live.ts'

/** How far another machine's clock may be ahead of ours. */
const AHEAD_SECONDS = 5

export type RecentSeconds = {
  /** Counts views in the seconds in which they were played (RFC 3339), as far as these are recent. */
  add(views: readonly { at: string }[]): void
  /** The views of each second that had any, in any order. */
  counts(): ReadonlyMap<number, number>
}

/** Views by the second in which they were played, for the last 300 seconds. */
export function createRecentSeconds(): RecentSeconds {
  const counts = new Map<number, number>()
  const toSecond = createSecondReader()

  function forgetOld(now: number): void {
    for (const second of counts.keys()) if (second <= now - LIVE_SECONDS) counts.delete(second)
  }

  return {
    add(views) {
      const now = Math.floor(Date.now() / 1_000)
      for (const { at } of views) {
        const second = toSecond(at)
        if (second <= now - LIVE_SECONDS || second > now + AHEAD_SECONDS) continue
        const count = counts.get(second)
        counts.set(second, (count ?? 0) + 1)
        if (count === undefined) forgetOld(now)
      }
    },
    counts() {
      forgetOld(Math.floor(Date.now() / 1_000))
      return counts
    },
  }
}

const UP_TO_SECONDS = 'yyyy-mm-ddThh:mm:ss'.length

/** Views that follow each other were mostly played in the same second: then the same text says so, and is not parsed. */
function createSecondReader(): (at: string) => number {
  let known = 'none'
  let second = Number.NaN
  return (at) => {
    if (at.slice(0, UP_TO_SECONDS) === known && at.endsWith('Z')) return second
    second = Math.floor(Date.parse(at) / 1_000)
    known = at.endsWith('Z') ? at.slice(0, UP_TO_SECONDS) : 'none'
    return second
  }
}
