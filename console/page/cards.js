import { element, formatCount, highlight, setText } from './dom.js'

/** @typedef {import('./assets.js').Asset} Asset */
/** @typedef {{ root: HTMLLIElement, views: HTMLElement, unit: HTMLElement, button: HTMLButtonElement, text: string }} Card */

/**
 * The cards of some assets. A card stays the same element for as long as its texts are the same.
 * @param {HTMLUListElement} list
 * @param {(asset: Asset) => void} onPlay
 */
export function createCards(list, onPlay) {
  /** @type {Map<string, Card>} */
  let cards = new Map()

  /** @param {Asset} asset */
  function cardOf(asset) {
    const text = JSON.stringify([asset.title, asset.genre, asset.summary])
    const known = cards.get(asset.id)
    const card = known?.text === text ? known : createCard(asset, text, onPlay)
    showViews(card, asset.views)
    return card
  }

  return {
    /** @param {Asset[]} assets */
    render(assets) {
      cards = new Map(assets.map((asset) => [asset.id, cardOf(asset)]))
      const wanted = [...cards.values()].map(({ root }) => root)
      if (wanted.length === list.children.length && wanted.every((root, n) => root === list.children[n])) return
      const focused = document.activeElement
      list.replaceChildren(...wanted)
      if (focused instanceof HTMLElement && list.contains(focused)) focused.focus({ preventScroll: true })
    },
    /**
     * Shows counts that have moved.
     * @param {Record<string, number>} counts
     */
    count(counts) {
      for (const [id, views] of Object.entries(counts)) {
        const card = cards.get(id)
        if (!card || card.views.textContent === formatCount(views)) continue
        showViews(card, views)
        if (card.views.parentElement) highlight(card.views.parentElement)
      }
    },
    /** @param {number} n */
    focus(n) {
      ;[...cards.values()][n]?.button.focus()
    },
  }
}

/**
 * @param {Asset} asset
 * @param {string} text
 * @param {(asset: Asset) => void} onPlay
 * @returns {Card}
 */
function createCard(asset, text, onPlay) {
  const views = element('b')
  const unit = element('span')
  const button = element(
    'button',
    { type: 'button', class: 'play', ariaLabel: `Play ${asset.title}`, onclick: () => onPlay(asset) },
    'Play',
  )
  const root = element(
    'li',
    { class: 'card', data: { id: asset.id } },
    element('p', { class: 'genre' }, asset.genre),
    element('h3', {}, asset.title),
    element('p', { class: 'about' }, asset.summary),
    element('div', { class: 'foot' }, element('p', { class: 'views' }, views, ' ', unit), button),
  )
  root.style.setProperty('--hue', String(hueOf(asset.genre)))
  return { root, views, unit, button, text }
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
 * A genre has a colour of its own.
 * @param {string} genre
 */
function hueOf(genre) {
  let hash = 0
  for (const character of genre) hash = (hash * 31 + (character.codePointAt(0) ?? 0)) % 3_600
  return hash / 10
}
