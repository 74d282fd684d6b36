import type { LiveSource } from '../shared/live/live-feed.ts'
import type { Currentness } from './currentness.ts'
import type { LiveCounts } from './live-counts.ts'

const CHECK_MS = 100
/** The heartbeat of counting. */
const ANNOUNCE_MS = 1_000

/**
 * Follows the counts only while they are current, so that nobody sees them rise during a replay. Announces whether they
 * are, when that changes and once a second.
 */
export function whileCurrent(follow: LiveCounts['follow'], { isCurrent, counting }: Currentness): LiveSource {
  return (publish) => {
    let unfollow: (() => void) | undefined
    let announced = { state: '', at: 0 }

    function check() {
      if (isCurrent()) unfollow ??= follow(publish)
      else {
        unfollow?.()
        unfollow = undefined
      }
      const data = counting()
      const at = performance.now()
      if (data.state === announced.state && at - announced.at < ANNOUNCE_MS) return
      announced = { state: data.state, at }
      publish({ event: 'counting', data })
    }

    check()
    const timer = setInterval(check, CHECK_MS)
    return () => {
      clearInterval(timer)
      unfollow?.()
    }
  }
}
