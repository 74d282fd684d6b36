/** @typedef {import('../../shared/contracts/live.ts').LiveSnapshot} LiveSnapshot */
/** @typedef {import('../../shared/contracts/live.ts').LiveChanges} LiveChanges */
/** @typedef {{ id: string, views: number }} ViewCount */

/** The time range of the chart. */
export const HISTORY_SECONDS = 300
const TOP_SIZE = 10

/**
 * The live counts: a snapshot and the changes since. Between snapshots, counts only rise, so every id in the new top
 * list is in the previous list or in the changes.
 */
export function createCounts() {
  let views = 0
  /** @type {ViewCount[]} */
  let assets = []
  /** @type {ViewCount[]} */
  let users = []
  /** @type {Map<number, number>} */
  let seconds = new Map()

  return {
    /** @param {LiveSnapshot} snapshot */
    applySnapshot(snapshot) {
      views = snapshot.views
      assets = snapshot.top.assets
      users = snapshot.top.users
      seconds = toSeconds(snapshot.seconds)
    },
    /** @param {LiveChanges} changes */
    applyChanges(changes) {
      views = changes.views
      assets = mergeTop(assets, changes.assets)
      users = mergeTop(users, changes.users)
      for (const [second, n] of toSeconds(changes.seconds)) seconds.set(second, n)
      const newest = Math.max(...seconds.keys())
      for (const second of seconds.keys()) if (second < newest - 2 * HISTORY_SECONDS) seconds.delete(second)
    },
    views: () => views,
    top: () => ({ assets, users }),
    /**
     * Views in each of the last `HISTORY_SECONDS` complete seconds, oldest first.
     * @param {number} now seconds since 1970
     */
    perSecond(now) {
      const first = Math.floor(now) - HISTORY_SECONDS
      return Array.from({ length: HISTORY_SECONDS }, (_, n) => seconds.get(first + n) ?? 0)
    },
  }
}

/**
 * @param {ViewCount[]} top
 * @param {Record<string, number>} changed
 */
function mergeTop(top, changed) {
  const counts = new Map(top.map(({ id, views }) => [id, views]))
  for (const [id, views] of Object.entries(changed)) counts.set(id, views)
  return [...counts]
    .map(([id, views]) => ({ id, views }))
    .sort((a, b) => b.views - a.views || (a.id < b.id ? -1 : 1))
    .slice(0, TOP_SIZE)
}

/** @param {Record<string, number>} seconds */
function toSeconds(seconds) {
  return new Map(Object.entries(seconds).map(([second, n]) => [Number(second), n]))
}
