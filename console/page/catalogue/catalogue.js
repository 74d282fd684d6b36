import { byId, element, formatCount, setText } from '../dom.js'
import { normalize } from './assets.js'
import { createCards } from './cards.js'
import { createFilterAddress } from './filter-address.js'

/** @typedef {import('./assets.js').Asset} Asset */

/** Number of cards shown initially, and added by each "Show more". */
const PAGE_SIZE = 60

/** @type {Record<string, (a: Asset, b: Asset) => number>} */
const comparators = {
  id: compareIds,
  title: (a, b) => a.title.localeCompare(b.title) || compareIds(a, b),
  views: (a, b) => (b.views ?? 0) - (a.views ?? 0) || compareIds(a, b),
}

/**
 * The catalogue. Searches, filters and sorts all assets in memory, and renders the first cards.
 * @param {{ assets: ReturnType<typeof import('./assets.js').createAssets>, onPlay: (asset: Asset) => Promise<void>, onShow: (asset: Asset) => void }} deps
 */
export function createCatalogue({ assets, onPlay, onShow }) {
  const search = byId('search', HTMLInputElement)
  const genre = byId('genre', HTMLSelectElement)
  const sort = byId('sort', HTMLSelectElement)
  const more = byId('more', HTMLButtonElement)
  const cards = createCards(byId('cards', HTMLUListElement), { onPlay, onShow })
  const address = createFilterAddress({ q: search, genre, sort })
  let limit = PAGE_SIZE

  function render() {
    const all = assets.all()
    updateGenres(genre, all, address.get('genre'))
    const matches = all.filter(createFilter()).sort(comparators[sort.value])
    cards.render(matches.slice(0, limit))
    more.hidden = matches.length <= limit
    setText(byId('result-count', HTMLElement), toResultCount(matches.length, all.length))
    showEmptyState(matches.length > 0 ? [] : toEmptyState(all.length))
  }

  function createFilter() {
    const words = normalize(search.value).split(/\s+/)
    return (/** @type {Asset} */ asset) =>
      (genre.value === '' || asset.genre === genre.value) && words.every((word) => asset.searchText.includes(word))
  }

  /**
   * @param {number} matches
   * @param {number} total
   */
  function toResultCount(matches, total) {
    if (total === 0) return ''
    const found = matches === total ? '' : `${formatCount(matches)} of `
    const shown = matches > limit ? `, showing the first ${formatCount(limit)}` : ''
    return `${found}${formatCount(total)} ${total === 1 ? 'asset' : 'assets'}${shown}`
  }

  /** @param {number} total */
  function toEmptyState(total) {
    if (total > 0) {
      const button = element('button', { type: 'button', class: 'secondary', onclick: clearFilters }, 'Clear filters')
      return ['No assets match. ', button]
    }
    if (assets.state() === 'loading') return ['Loading the catalogue…']
    if (assets.state() === 'failed') return ['The catalogue is unavailable. Retrying…']
    return ['The catalogue is empty. To fill it, run ', element('code', {}, 'npm run seed')]
  }

  function showMatches() {
    address.save()
    limit = PAGE_SIZE
    render()
  }

  function clearFilters() {
    search.value = ''
    genre.value = ''
    showMatches()
    search.focus()
  }

  for (const control of [search, genre, sort]) control.addEventListener('input', showMatches)
  addEventListener('popstate', () => {
    address.load()
    render()
  })
  more.addEventListener('click', () => {
    const firstAdded = limit
    limit += PAGE_SIZE
    render()
    cards.focus(firstAdded)
  })

  return { render, showCounts: cards.showCounts }
}

/** @param {(Node | string)[]} content */
function showEmptyState(content) {
  const target = byId('empty-state', HTMLElement)
  target.hidden = content.length === 0
  const text = content.map((child) => (typeof child === 'string' ? child : child.textContent)).join('')
  // Replacing unchanged content would blur a focused button.
  if (target.textContent !== text) target.replaceChildren(...content)
}

/**
 * @param {HTMLSelectElement} select its first option is "All genres"
 * @param {Asset[]} all
 * @param {string} wanted the genre from the URL, selected once the list contains it
 */
function updateGenres(select, all, wanted) {
  const genres = [...new Set(all.map((asset) => asset.genre))].sort((a, b) => a.localeCompare(b))
  const current = [...select.options].slice(1).map((option) => option.value)
  if (JSON.stringify(genres) === JSON.stringify(current)) return
  const selected = select.value || wanted
  select.length = 1
  select.append(...genres.map((genre) => element('option', { value: genre }, genre)))
  select.value = genres.includes(selected) ? selected : ''
}

/**
 * @param {Asset} a
 * @param {Asset} b
 */
function compareIds(a, b) {
  return a.id < b.id ? -1 : 1
}
