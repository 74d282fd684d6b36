import { sleep } from '../sleep.js'

/** @typedef {import('../../../shared/contracts/catalogue-page.ts').CatalogueEntry} CatalogueEntry */
/** @typedef {import('../../../shared/contracts/catalogue-page.ts').CataloguePage} CataloguePage */
/** @typedef {import('../../../shared/contracts/live.ts').LiveChanges} LiveChanges */
/** @typedef {CatalogueEntry & { searchText: string }} Asset */
/** @typedef {Partial<Record<'views' | 'qualified' | 'viewers', number | null>>} Counts */

const PAGE_TIMEOUT_MS = 5_000
/** The first page is small, so that the first cards render sooner. */
const FIRST_PAGE_SIZE = 60
const PAGE_SIZE = 1_000
/** Minimum time between two reloads of the list. */
const RELOAD_INTERVAL_MS = 2_000

/**
 * All assets with their counts, loaded page by page. `onChange` is called after each page and when loading fails.
 * @param {{ onChange: () => void }} deps
 */
export function createAssets({ onChange }) {
  /** @type {Map<string, Asset>} */
  const assets = new Map()
  /**
   * Live counts only rise until `resetCounts` is called, so the higher of a loaded and a live count is the newer count.
   * @type {Map<string, Counts>}
   */
  const liveCounts = new Map()
  let resets = 0
  /** @type {'loading' | 'loaded' | 'failed'} */
  let state = 'loading'
  let isRequested = false
  let isLoading = false

  /**
   * @param {CatalogueEntry} entry
   * @param {boolean} isCurrent true if the entry's counts were loaded since the last reset
   */
  function merge(entry, isCurrent) {
    const previous = assets.get(entry.id)
    const loaded = isCurrent || !previous ? entry : {}
    const counts = mergeCounts(loaded, previous, liveCounts.get(entry.id))
    assets.set(entry.id, { ...entry, ...counts, searchText: normalize(`${entry.title} ${entry.id} ${entry.summary}`) })
  }

  async function loadAll() {
    const seen = new Set()
    /** @type {string | null} */
    let after = null
    do {
      const resetsBefore = resets
      const page = await fetchPage(after)
      for (const entry of page.assets) {
        merge(entry, resets === resetsBefore)
        seen.add(entry.id)
      }
      after = page.next
      if (after !== null) onChange()
    } while (after !== null)
    for (const id of assets.keys()) if (!seen.has(id)) assets.delete(id)
  }

  /** Loads all assets, and retries a failed load. If a load is in progress, schedules one more load after it. */
  async function load() {
    isRequested = true
    if (isLoading) return
    isLoading = true
    while (isRequested) {
      isRequested = false
      try {
        await loadAll()
        state = 'loaded'
      } catch {
        state = 'failed'
        isRequested = true
      }
      onChange()
      await sleep(RELOAD_INTERVAL_MS)
    }
    isLoading = false
  }

  return {
    load,
    state: () => state,
    all: () => [...assets.values()],
    /** @param {string} id */
    titleOf: (id) => assets.get(id)?.title,
    /**
     * Returns the assets that changed.
     * @param {LiveChanges} changes
     */
    updateCounts({ assets: changed, qualified, viewers }) {
      return Object.entries(changed).flatMap(([id, views]) => {
        const live = {
          ...liveCounts.get(id),
          ...toKnown({ views, qualified: qualified?.assets[id], viewers: viewers?.[id] }),
        }
        liveCounts.set(id, live)
        const asset = assets.get(id)
        return asset ? [Object.assign(asset, live)] : []
      })
    },
    /** Reloads all counts, because the counts in a new snapshot may be lower. */
    resetCounts() {
      resets += 1
      liveCounts.clear()
      return load()
    },
  }
}

/**
 * @param {Counts} loaded
 * @param {Counts} [previous]
 * @param {Counts} [live]
 */
function mergeCounts(loaded, previous = {}, live = {}) {
  const merge = (/** @type {keyof Counts} */ name) => {
    const count = loaded[name] ?? null
    return count === null ? (previous[name] ?? null) : Math.max(count, live[name] ?? 0)
  }
  return { views: merge('views'), qualified: merge('qualified'), viewers: merge('viewers') }
}

/**
 * Removes counts that are undefined, because a previous release of reporting does not send them.
 * @param {Record<string, number | undefined>} counts
 * @returns {Counts}
 */
function toKnown(counts) {
  return Object.fromEntries(Object.entries(counts).filter(([, count]) => count !== undefined))
}

/**
 * @param {string | null} after
 * @returns {Promise<CataloguePage>}
 */
async function fetchPage(after) {
  const query = after === null ? { limit: String(FIRST_PAGE_SIZE) } : { limit: String(PAGE_SIZE), after }
  const signal = AbortSignal.timeout(PAGE_TIMEOUT_MS)
  const response = await fetch(`/catalogue?${new URLSearchParams(query)}`, { signal })
  if (!response.ok) throw new Error(`GET /catalogue returned ${response.status}`)
  return response.json()
}

/**
 * Lowercases the text and strips accents.
 * @param {string} text
 */
export function normalize(text) {
  return text.normalize('NFD').replaceAll(/\p{M}/gu, '').toLowerCase()
}
