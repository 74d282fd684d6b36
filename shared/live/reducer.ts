import { LIVE_SECONDS, LIVE_TOP, type LiveChanges, type LiveEntry, type LiveSnapshot } from '../contracts/live.ts'

/** Applies changes to a snapshot. A heartbeat contains neither qualified views nor viewers. */
export function applyChanges({ top, seconds, ...snapshot }: LiveSnapshot, changes: LiveChanges): LiveSnapshot {
  const { views, qualified } = changes
  return {
    ...snapshot,
    views,
    ...(qualified && { qualified: qualified.total }),
    top: {
      assets: applyToTop(top.assets, toEntries(changes.assets, qualified?.assets, changes.viewers)),
      users: applyToTop(top.users, toEntries(changes.users, qualified?.users)),
    },
    seconds: { ...seconds, ...changes.seconds },
  }
}

/** Merges two consecutive `changes` events into one. */
export function mergeChanges(earlier: LiveChanges, later: LiveChanges): LiveChanges {
  const qualified = later.qualified ?? earlier.qualified
  const viewers = later.viewers ?? earlier.viewers
  return {
    views: later.views,
    assets: { ...earlier.assets, ...later.assets },
    users: { ...earlier.users, ...later.users },
    seconds: { ...earlier.seconds, ...later.seconds },
    ...(qualified && {
      qualified: {
        total: qualified.total,
        assets: { ...earlier.qualified?.assets, ...qualified.assets },
        users: { ...earlier.qualified?.users, ...qualified.users },
      },
    }),
    ...(viewers && { viewers: { ...earlier.viewers, ...viewers } }),
  }
}

/** Drops the seconds that have left the window. */
export function dropOldSeconds(snapshot: LiveSnapshot): LiveSnapshot {
  const windowStart = Date.now() / 1_000 - LIVE_SECONDS
  const recent = Object.entries(snapshot.seconds).filter(([second]) => Number(second) > windowStart)
  return { ...snapshot, seconds: Object.fromEntries(recent) }
}

type Counts = Record<string, number>

function toEntries(views: Counts, qualified?: Counts, viewers?: Counts): LiveEntry[] {
  return Object.entries(views).map(([id, count]) => ({
    id,
    views: count,
    ...(qualified && { qualified: qualified[id] ?? 0 }),
    ...(viewers && { viewers: viewers[id] ?? 0 }),
  }))
}

function applyToTop(top: readonly LiveEntry[], changed: readonly LiveEntry[]): LiveEntry[] {
  const entries = new Map([...top, ...changed].map((entry) => [entry.id, entry]))
  return [...entries.values()].sort((a, b) => b.views - a.views || (a.id < b.id ? -1 : 1)).slice(0, LIVE_TOP)
}
