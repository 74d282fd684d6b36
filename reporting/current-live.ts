import type { LiveEvent } from '../shared/contracts/live.ts'
import type { LiveSource } from '../shared/live/live-feed.ts'

const CHECK_MS = 100
const HEARTBEAT_MS = 1_000

/**
 * Follows the counts only while they are current, so that subscribers do not see them rise during a replay. If no event
 * was published for a second, publishes an event without changes as a heartbeat.
 */
export function whileCurrent(follow: LiveSource, isCurrent: () => boolean): LiveSource {
  return (publish) => {
    let unfollow: (() => void) | undefined
    let views = 0
    let publishedAt = 0
    /** A store may publish its snapshot late. Until then, there are no counts to repeat in a heartbeat. */
    let hasSnapshot = false

    function pass(event: LiveEvent) {
      hasSnapshot = true
      views = event.data.views
      publishedAt = performance.now()
      publish(event)
    }

    function stop() {
      unfollow?.()
      unfollow = undefined
      hasSnapshot = false
    }

    function check() {
      if (!isCurrent()) return stop()
      unfollow ??= follow(pass)
      if (!hasSnapshot || performance.now() - publishedAt < HEARTBEAT_MS) return
      pass({ event: 'changes', data: { views, assets: {}, users: {}, seconds: {} } })
    }

    check()
    const timer = setInterval(check, CHECK_MS)
    return () => {
      clearInterval(timer)
      stop()
    }
  }
}
