import { LIVE_SECONDS, LIVE_TOP, type LiveChanges, type LiveSnapshot } from '../contracts/live.ts'
import type { ViewCount } from '../contracts/view-counts.ts'

/** Applies changes to a snapshot. */
export function applyChanges({ top, seconds }: LiveSnapshot, changes: LiveChanges): LiveSnapshot {
  return {
    views: changes.views,
    top: { assets: applyToTop(top.assets, changes.assets), users: applyToTop(top.users, changes.users) },
    seconds: { ...seconds, ...changes.seconds },
  }
}

/** Merges two consecutive changes into one. */
export function mergeChanges(earlier: LiveChanges, later: LiveChanges): LiveChanges {
  return {
    views: later.views,
    assets: { ...earlier.assets, ...later.assets },
    users: { ...earlier.users, ...later.users },
    seconds: { ...earlier.seconds, ...later.seconds },
  }
}

/** Drops the seconds that have left the window. */
export function dropOldSeconds(snapshot: LiveSnapshot): LiveSnapshot {
  const since = Date.now() / 1_000 - LIVE_SECONDS
  const recent = Object.entries(snapshot.seconds).filter(([second]) => Number(second) > since)
  return { ...snapshot, seconds: Object.fromEntries(recent) }
}

function applyToTop(top: ViewCount[], changed: Record<string, number>): ViewCount[] {
  const counts = { ...Object.fromEntries(top.map(({ id, views }) => [id, views])), ...changed }
  return Object.entries(counts)
    .map(([id, views]) => ({ id, views }))
    .sort((a, b) => b.views - a.views || (a.id < b.id ? -1 : 1))
    .slice(0, LIVE_TOP)
}
