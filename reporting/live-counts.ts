import {
  LIVE_TOP,
  type LiveChanges,
  type LiveEvent,
  type LiveSnapshot,
  MAX_LIVE_IDS,
} from '../shared/contracts/live.ts'
import type { Play } from '../shared/contracts/play.ts'
import type { LiveSource } from '../shared/live/live-feed.ts'
import { createPacer } from '../shared/runtime/pacer.ts'
import { createRecentSeconds } from './recent-seconds.ts'
import type { CountedBy, ViewCounts } from './view-counts.ts'

/** The least time between two events. */
const EVERY_MS = 250

export type LiveCounts = ViewCounts & {
  /** Publishes the counts, and what changes of them. One at a time may follow. */
  follow: LiveSource
}

/** Counts that can be followed. What changed is noted only while somebody does. */
export function createLiveCounts(counts: ViewCounts): LiveCounts {
  const seconds = createRecentSeconds()
  let views = 0
  let follower: ReturnType<typeof createFollower> | undefined

  function createFollower(publish: (event: LiveEvent) => void) {
    let changed = createChangedIds()
    let told = new Map(seconds.counts())
    const pacer = createPacer(tell, EVERY_MS)

    function tell(): void {
      const event = changed.areTooMany() ? ({ event: 'snapshot', data: snapshot() } as const) : toChanges()
      changed = createChangedIds()
      told = new Map(seconds.counts())
      publish(event)
    }

    function toChanges(): LiveEvent {
      const since = [...seconds.counts()].filter(([second, count]) => told.get(second) !== count)
      const data: LiveChanges = {
        views,
        assets: countsOf('asset', changed.assets),
        users: countsOf('user', changed.users),
        seconds: Object.fromEntries(since),
      }
      return { event: 'changes', data }
    }

    return {
      note(plays: readonly Play[]) {
        changed.add(plays)
        pacer.request()
      },
      end: pacer.stop,
    }
  }

  function countsOf(by: CountedBy, ids: ReadonlySet<string>): Record<string, number> {
    return Object.fromEntries(Array.from(ids, (id) => [id, counts.views(by, id) ?? 0]))
  }

  function snapshot(): LiveSnapshot {
    const top = { assets: counts.top('asset', LIVE_TOP), users: counts.top('user', LIVE_TOP) }
    return { views, top, seconds: Object.fromEntries(seconds.counts()) }
  }

  function note(plays: readonly (Play & { at: string })[]): void {
    views += plays.length
    seconds.add(plays)
    if (plays.length > 0) follower?.note(plays)
  }

  return {
    ...counts,
    count(play) {
      const counted = counts.count(play)
      note([{ ...play, at: new Date().toISOString() }])
      return counted
    },
    apply(batch) {
      const applied = counts.apply(batch)
      if (applied) note(batch.views)
      return applied
    },
    follow(publish) {
      publish({ event: 'snapshot', data: snapshot() })
      const own = createFollower(publish)
      follower = own
      return () => {
        own.end()
        follower = undefined
      }
    },
  }
}

function createChangedIds() {
  const assets = new Set<string>()
  const users = new Set<string>()
  const areTooMany = () => assets.size + users.size > MAX_LIVE_IDS
  return {
    assets,
    users,
    areTooMany,
    add(plays: readonly Play[]) {
      for (const { assetId, userId } of plays) {
        if (areTooMany()) return
        assets.add(assetId)
        users.add(userId)
      }
    },
  }
}
