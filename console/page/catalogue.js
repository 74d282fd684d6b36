import { toSearched } from './assets.js'
import { createCards } from './cards.js'
import { byId, element, formatCount, setText } from './dom.js'

/** @typedef {import('./assets.js').Asset} Asset */

/** How many cards are shown, and how many more each time that more are asked for. */
const STEP = 60

/** @type {Record<string, (one: Asset, other: Asset) => number>} */
const orders = {
  id: (one, other) => compare(one.id, other.id),
  title: (one, other) => one.title.localeCompare(other.title) || compare(one.id, other.id),
  views: (one, other) => (other.views ?? 0) - (one.views ?? 0) || compare(one.id, other.id),
}

/**
 * The catalogue with its search, filter and order. All of it is in memory; a part of it is shown.
 * @param {{ assets: ReturnType<typeof import('./assets.js').createAssets>, onPlay: (asset: Asset) => void }} deps
 */
export function createCatalogue({ assets, onPlay }) {
  const search = byId('search', HTMLInputElement)
  const genre = byId('genre', HTMLSelectElement)
  const order = byId('order', HTMLSelectElement)
  const more = byId('more', HTMLButtonElement)
  const cards = createCards(byId('cards', HTMLUListElement), onPlay)
  let limit = STEP

  function render() {
    const all = assets.all()
    offerGenres(genre, all)
    const found = matching(all).sort(orders[order.value])
    cards.render(found.slice(0, limit))
    more.hidden = found.length <= limit
    setText(byId('shown', HTMLElement), sizes(found.length, all.length))
    showNote(noteOn(found.length, all.length))
  }

  /** @param {Asset[]} all */
  function matching(all) {
    const words = toSearched(search.value).split(/\s+/)
    return all.filter(
      (asset) =>
        (genre.value === '' || asset.genre === genre.value) && words.every((word) => asset.searched.includes(word)),
    )
  }

  /**
   * @param {number} found
   * @param {number} all
   */
  function sizes(found, all) {
    if (all === 0) return ''
    const shown = Math.min(found, limit)
    const of = found === all ? '' : ` of ${formatCount(all)}`
    return `${shown < found ? `${formatCount(shown)} shown of ` : ''}${formatCount(found)}${of} ${all === 1 ? 'asset' : 'assets'}`
  }

  /**
   * @param {number} found
   * @param {number} all
   */
  function noteOn(found, all) {
    if (found > 0) return []
    const showAll = element('button', { type: 'button', class: 'quiet', onclick: clear }, 'Show all')
    if (all > 0) return ['Nothing matches. ', showAll]
    if (assets.state() === 'loading') return ['Reading the catalogue …']
    if (assets.state() === 'away') return ['metadata does not answer. The catalogue shows here as soon as it does.']
    return ['The catalogue is empty. Fill it from a terminal: ', element('code', {}, 'npm run seed')]
  }

  function again() {
    limit = STEP
    render()
  }

  function clear() {
    search.value = ''
    genre.value = ''
    again()
    search.focus()
  }

  for (const control of [search, genre, order]) control.addEventListener('input', again)
  more.addEventListener('click', () => {
    const first = limit
    limit += STEP
    render()
    cards.focus(first)
  })

  return { render, count: cards.count }
}

/** @param {(Node | string)[]} content */
function showNote(content) {
  const note = byId('note', HTMLElement)
  note.hidden = content.length === 0
  const text = content.map((part) => (typeof part === 'string' ? part : part.textContent)).join('')
  // What is the same stays, so that a button in it keeps the focus.
  if (note.textContent !== text) note.replaceChildren(...content)
}

/**
 * @param {HTMLSelectElement} select
 * @param {Asset[]} all
 */
function offerGenres(select, all) {
  const genres = [...new Set(all.map((asset) => asset.genre))].sort((one, other) => one.localeCompare(other))
  const offered = [...select.options].slice(1).map((option) => option.value)
  if (genres.length === offered.length && genres.every((genre, n) => genre === offered[n])) return
  const chosen = select.value
  select.replaceChildren(
    ...[...select.options].slice(0, 1),
    ...genres.map((genre) => element('option', { value: genre }, genre)),
  )
  select.value = genres.includes(chosen) ? chosen : ''
}

/**
 * @param {string} one
 * @param {string} other
 */
function compare(one, other) {
  return one < other ? -1 : one > other ? 1 : 0
}
