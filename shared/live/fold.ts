import { LIVE_SECONDS, LIVE_TOP, type LiveChanges, type LiveSnapshot } from '../contracts/live.ts'
import type { ViewCount } from '../contracts/view-counts.ts'

/** A snapshot as it is after changes. */
export function fold({ top, seconds }: LiveSnapshot, changes: LiveChanges): LiveSnapshot {
  return {
    views: changes.views,
    top: { assets: foldTop(top.assets, changes.assets), users: foldTop(top.users, changes.users) },
    seconds: { ...seconds, ...changes.seconds },
  }
}

/** Changes and later ones, as one. */
export function merge(earlier: LiveChanges, later: LiveChanges): LiveChanges {
  return {
    views: later.views,
    assets: { ...earlier.assets, ...later.assets },
    users: { ...earlier.users, ...later.users },
    seconds: { ...earlier.seconds, ...later.seconds },
  }
}

/** A snapshot without the seconds that are too long ago by now. */
export function withoutOldSeconds(snapshot: LiveSnapshot): LiveSnapshot {
  const since = Date.now() / 1_000 - LIVE_SECONDS
  const recent = Object.entries(snapshot.seconds).filter(([second]) => Number(second) > since)
  return { ...snapshot, seconds: Object.fromEntries(recent) }
}

function foldTop(top: ViewCount[], changed: Record<string, number>): ViewCount[] {
  const counts = { ...Object.fromEntries(top.map(({ id, views }) => [id, views])), ...changed }
  return Object.entries(counts)
    .map(([id, views]) => ({ id, views }))
    .sort((one, other) => other.views - one.views || (one.id < other.id ? -1 : 1))
    .slice(0, LIVE_TOP)
}
