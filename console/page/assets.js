/** @typedef {import('../../shared/contracts/catalogue-page.ts').CatalogueEntry} Entry */
/** @typedef {import('../../shared/contracts/catalogue-page.ts').CataloguePage} Page */
/** @typedef {Entry & { searched: string }} Asset */

/** An edge that hangs is asked again after this. */
const PAGE_LIMIT_MS = 5_000

/** The first page is what can be seen at once. */
const FIRST_PAGE = 60
const PAGE = 1_000
/** However often the list is to be read again, it is no more often than this. */
const PAUSE_MS = 2_000

/**
 * All assets and their views. Reads them page by page; `onChange` is called after each, and when reading fails.
 * @param {{ onChange: () => void }} deps
 */
export function createAssets({ onChange }) {
  /** @type {Map<string, Asset>} */
  const assets = new Map()
  /**
   * Counts that were told live. They never fall until `renew`, so of a count that was read and one that was told the higher is the later one.
   * @type {Map<string, number>}
   */
  const told = new Map()
  let renewed = 0
  /** @type {'loading' | 'complete' | 'away'} */
  let state = 'loading'
  let wanted = false
  let reading = false

  /**
   * @param {Entry} entry
   * @param {boolean} isCurrent whether the count was read after the last renewal
   */
  function take(entry, isCurrent) {
    const before = assets.get(entry.id)
    const read = isCurrent || !before ? entry.views : null
    const views = read === null ? (before?.views ?? null) : Math.max(read, told.get(entry.id) ?? 0)
    assets.set(entry.id, { ...entry, views, searched: toSearched(`${entry.title} ${entry.id} ${entry.summary}`) })
  }

  async function readAll() {
    const seen = new Set()
    /** @type {string | null} */
    let after = null
    do {
      const since = renewed
      const page = await readPage(after)
      for (const entry of page.assets) {
        take(entry, renewed === since)
        seen.add(entry.id)
      }
      after = page.next
      if (after !== null) onChange()
    } while (after !== null)
    for (const id of assets.keys()) if (!seen.has(id)) assets.delete(id)
  }

  async function read() {
    wanted = true
    if (reading) return
    reading = true
    while (wanted) {
      wanted = false
      try {
        await readAll()
        state = 'complete'
      } catch {
        state = 'away'
        wanted = true
      }
      onChange()
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS))
    }
    reading = false
  }

  return {
    read,
    state: () => state,
    all: () => [...assets.values()],
    size: () => assets.size,
    /** @param {string} id */
    titleOf: (id) => assets.get(id)?.title,
    /**
     * Takes counts that were told live.
     * @param {Record<string, number>} counts
     */
    count(counts) {
      for (const [id, views] of Object.entries(counts)) {
        told.set(id, views)
        const asset = assets.get(id)
        if (asset) asset.views = views
      }
    },
    /** Counts may have fallen, or risen unseen: they are read again. */
    renew() {
      renewed += 1
      told.clear()
      return read()
    },
  }
}

/**
 * @param {string | null} after
 * @returns {Promise<Page>}
 */
async function readPage(after) {
  const query = after === null ? { limit: String(FIRST_PAGE) } : { limit: String(PAGE), after }
  const signal = AbortSignal.timeout(PAGE_LIMIT_MS)
  const response = await fetch(`/catalogue?${new URLSearchParams(query)}`, { signal })
  if (!response.ok) throw new Error(`the catalogue is a ${response.status}`)
  return response.json()
}

/**
 * A text as it is searched: without case, and without accents.
 * @param {string} text
 */
export function toSearched(text) {
  return text.normalize('NFD').replaceAll(/\p{M}/gu, '').toLowerCase()
}
