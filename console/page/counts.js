/** @typedef {import('../../shared/contracts/live.ts').LiveSnapshot} LiveSnapshot */
/** @typedef {import('../../shared/contracts/live.ts').LiveChanges} LiveChanges */
/** @typedef {{ id: string, views: number }} ViewCount */

/** How far back the chart goes, in seconds. */
export const SECONDS = 300
const TOP = 10

/**
 * The counts as a snapshot and the changes since make them. Within these no count falls, so who is in the top was in
 * it before or has changed.
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
    start(snapshot) {
      views = snapshot.views
      assets = snapshot.top.assets
      users = snapshot.top.users
      seconds = toSeconds(snapshot.seconds)
    },
    /** @param {LiveChanges} changes */
    change(changes) {
      views = changes.views
      assets = topOf(assets, changes.assets)
      users = topOf(users, changes.users)
      for (const [second, n] of toSeconds(changes.seconds)) seconds.set(second, n)
      const newest = Math.max(...seconds.keys())
      for (const second of seconds.keys()) if (second < newest - 2 * SECONDS) seconds.delete(second)
    },
    views: () => views,
    top: () => ({ assets, users }),
    /**
     * The views of each second, the last one first complete.
     * @param {number} now seconds since 1970
     * @returns {number[]} of the last `SECONDS`, oldest first
     */
    perSecond(now) {
      const last = Math.floor(now) - 1
      return Array.from({ length: SECONDS }, (_, n) => seconds.get(last - SECONDS + 1 + n) ?? 0)
    },
  }
}

/**
 * @param {ViewCount[]} top
 * @param {Record<string, number>} changed
 */
function topOf(top, changed) {
  const counts = new Map(top.map(({ id, views }) => [id, views]))
  for (const [id, views] of Object.entries(changed)) counts.set(id, views)
  return [...counts]
    .map(([id, views]) => ({ id, views }))
    .sort((one, other) => other.views - one.views || (one.id < other.id ? -1 : 1))
    .slice(0, TOP)
}

/** @param {Record<string, number>} seconds */
function toSeconds(seconds) {
  return new Map(Object.entries(seconds).map(([second, n]) => [Number(second), n]))
}
