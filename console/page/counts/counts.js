/** @typedef {import('../../../shared/contracts/live.ts').LiveSnapshot} LiveSnapshot */
/** @typedef {import('../../../shared/contracts/live.ts').LiveChanges} LiveChanges */
/** @typedef {import('../../../shared/contracts/live.ts').LiveEntry} LiveEntry */
/** @typedef {Record<string, number> | undefined} CountsById */

/** The displayed rate is the average over this many seconds. */
const RATE_SECONDS = 5
/** Counts per second are kept for this long, because views may arrive late. */
const KEPT_SECONDS = 60
const TOP_SIZE = 10

/**
 * The live counts: a snapshot and the changes since then. Between snapshots, counts only rise, so every id in the new
 * top list is in the previous list or in the changes.
 */
export function createCounts() {
  let isKnown = false
  let views = 0
  /** @type {number | undefined} */
  let qualified
  /** @type {LiveEntry[]} */
  let assets = []
  /** @type {LiveEntry[]} */
  let users = []
  /** @type {Map<number, number>} */
  let seconds = new Map()

  return {
    /** @param {LiveSnapshot} snapshot */
    applySnapshot(snapshot) {
      isKnown = true
      views = snapshot.views
      qualified = snapshot.qualified
      assets = snapshot.top.assets
      users = snapshot.top.users
      seconds = toSeconds(snapshot.seconds)
    },
    /** @param {LiveChanges} changes */
    applyChanges(changes) {
      views = changes.views
      qualified = changes.qualified?.total ?? qualified
      assets = mergeTop(assets, changes.assets, { qualified: changes.qualified?.assets, viewers: changes.viewers })
      users = mergeTop(users, changes.users, { qualified: changes.qualified?.users })
      for (const [second, n] of toSeconds(changes.seconds)) seconds.set(second, n)
      const newest = Math.max(...seconds.keys())
      for (const second of seconds.keys()) if (second < newest - KEPT_SECONDS) seconds.delete(second)
    },
    /**
     * The snapshot with all changes applied; undefined before the first snapshot.
     * @returns {LiveSnapshot | undefined}
     */
    snapshot() {
      return isKnown ? { views, qualified, top: { assets, users }, seconds: Object.fromEntries(seconds) } : undefined
    },
    views: () => views,
    /** The number of qualified views; undefined if reporting runs a release without view rules. */
    qualified: () => qualified,
    top: () => ({ assets, users }),
    /**
     * Views per second, averaged over the last complete seconds.
     * @param {number} now seconds since 1970
     */
    rate(now) {
      const first = Math.floor(now) - RATE_SECONDS
      const recent = Array.from({ length: RATE_SECONDS }, (_, n) => seconds.get(first + n) ?? 0)
      return recent.reduce((sum, n) => sum + n, 0) / RATE_SECONDS
    },
  }
}

/**
 * @param {LiveEntry[]} top
 * @param {Record<string, number>} changed views by id
 * @param {{ qualified?: CountsById, viewers?: CountsById }} others
 */
function mergeTop(top, changed, others) {
  const entries = new Map(top.map((entry) => [entry.id, entry]))
  for (const [id, views] of Object.entries(changed)) {
    const previous = entries.get(id)
    const qualified = others.qualified && { qualified: others.qualified[id] ?? previous?.qualified ?? 0 }
    const viewers = others.viewers && { viewers: others.viewers[id] ?? previous?.viewers ?? 0 }
    entries.set(id, { ...previous, id, views, ...qualified, ...viewers })
  }
  return [...entries.values()].sort((a, b) => b.views - a.views || (a.id < b.id ? -1 : 1)).slice(0, TOP_SIZE)
}

/** @param {Record<string, number>} seconds */
function toSeconds(seconds) {
  return new Map(Object.entries(seconds).map(([second, n]) => [Number(second), n]))
}
