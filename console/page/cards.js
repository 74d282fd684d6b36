import { element, formatCount, highlight, setText } from './dom.js'

/** @typedef {import('./assets.js').Asset} Asset */
/** @typedef {{ root: HTMLLIElement, counter: HTMLElement, views: HTMLElement, unit: HTMLElement, button: HTMLButtonElement, key: string }} Card */

/**
 * A list of asset cards. An unchanged asset keeps its elements, and so its focus.
 * @param {HTMLUListElement} list
 * @param {(asset: Asset) => void} onPlay
 */
export function createCards(list, onPlay) {
  /** @type {Map<string, Card>} */
  let cards = new Map()

  /** @param {Asset} asset */
  function toCard(asset) {
    const key = JSON.stringify([asset.title, asset.genre, asset.summary])
    const existing = cards.get(asset.id)
    const card = existing?.key === key ? existing : createCard(asset, key, onPlay)
    showViews(card, asset.views)
    return card
  }

  return {
    /** @param {Asset[]} assets */
    render(assets) {
      cards = new Map(assets.map((asset) => [asset.id, toCard(asset)]))
      const roots = [...cards.values()].map(({ root }) => root)
      if (roots.length === list.children.length && roots.every((root, n) => root === list.children[n])) return
      const focused = document.activeElement
      list.replaceChildren(...roots)
      if (focused instanceof HTMLElement && list.contains(focused)) focused.focus({ preventScroll: true })
    },
    /** @param {Record<string, number>} counts live counts by asset id */
    updateCounts(counts) {
      for (const [id, views] of Object.entries(counts)) {
        const card = cards.get(id)
        if (!card || card.views.textContent === formatCount(views)) continue
        showViews(card, views)
        highlight(card.counter)
      }
    },
    /** @param {number} index */
    focus(index) {
      ;[...cards.values()][index]?.button.focus()
    },
  }
}

/**
 * @param {Asset} asset
 * @param {string} key
 * @param {(asset: Asset) => void} onPlay
 * @returns {Card}
 */
function createCard(asset, key, onPlay) {
  const views = element('b')
  const unit = element('span')
  const counter = element('p', { class: 'views' }, views, ' ', unit)
  const button = element(
    'button',
    { type: 'button', class: 'play', ariaLabel: `Play ${asset.title}`, onclick: () => onPlay(asset) },
    'Play',
  )
  const root = element(
    'li',
    { class: 'card' },
    element('p', { class: 'genre' }, asset.genre),
    element('h3', {}, asset.title),
    element('p', { class: 'description' }, asset.summary),
    element('div', { class: 'card-footer' }, counter, button),
  )
  root.style.setProperty('--hue', String(toHue(asset.genre)))
  return { root, counter, views, unit, button, key }
}

/**
 * @param {Card} card
 * @param {number | null} count
 */
function showViews({ views, unit }, count) {
  setText(views, formatCount(count))
  setText(unit, count === 1 ? 'view' : 'views')
}

/**
 * Hashes a genre to a hue in degrees.
 * @param {string} genre
 */
function toHue(genre) {
  let hash = 0
  for (const character of genre) hash = (hash * 31 + (character.codePointAt(0) ?? 0)) % 3_600
  return hash / 10
}
