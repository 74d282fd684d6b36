import { element, formatCount, highlight, setChildren, setText } from '../dom.js'
import { sleep } from '../sleep.js'
import { createRightsBadges } from './rights.js'

/** @typedef {import('./assets.js').Asset} Asset */
/** @typedef {{ root: HTMLLIElement, counter: HTMLElement, views: HTMLElement, unit: HTMLElement, qualified: HTMLElement, viewers: HTMLElement, button: HTMLButtonElement, key: string }} Card */
/** @typedef {{ onPlay: (asset: Asset) => Promise<void>, onShow: (asset: Asset) => void }} Actions */

/** A button ignores further presses for at least this long, so that a double click plays the asset only once. */
const MIN_PENDING_MS = 500

/**
 * A list of asset cards. An unchanged asset's card keeps its elements, so a focused button keeps the focus.
 * @param {HTMLUListElement} list
 * @param {Actions} actions
 */
export function createCards(list, actions) {
  /** @type {Map<string, Card>} */
  let cards = new Map()

  /** @param {Asset} asset */
  function toCard(asset) {
    const key = JSON.stringify([asset.title, asset.genre, asset.summary, asset.rights])
    const existing = cards.get(asset.id)
    const card = existing?.key === key ? existing : createCard(asset, key, actions)
    showCounts(card, asset)
    return card
  }

  return {
    /** @param {Asset[]} assets */
    render(assets) {
      cards = new Map(assets.map((asset) => [asset.id, toCard(asset)]))
      const roots = [...cards.values()].map(({ root }) => root)
      setChildren(list, roots)
    },
    /** @param {Asset[]} changed */
    showCounts(changed) {
      for (const asset of changed) {
        const card = cards.get(asset.id)
        if (!card) continue
        if (card.views.textContent !== formatCount(asset.views)) highlight(card.counter)
        showCounts(card, asset)
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
 * @param {Actions} actions
 * @returns {Card}
 */
function createCard(asset, key, { onPlay, onShow }) {
  const views = element('b')
  const unit = element('span')
  const qualified = element('span')
  const viewers = element('span')
  const counter = element(
    'button',
    { type: 'button', class: 'views', title: 'Show views over time', onclick: () => onShow(asset) },
    views,
    ' ',
    unit,
    ' ',
    element('small', {}, qualified, ' ', viewers),
    element('span', { class: 'visually-hidden' }, `: show ${asset.title} over time`),
  )
  const button = element(
    'button',
    { type: 'button', class: 'play', ariaLabel: `Play ${asset.title}`, onclick: () => void press() },
    'Play',
  )
  /** Ignores presses while a play is pending. */
  async function press() {
    if (button.ariaBusy === 'true') return
    setPending(button, true)
    await Promise.all([onPlay(asset), sleep(MIN_PENDING_MS)])
    setPending(button, false)
  }
  const root = element(
    'li',
    { class: 'card' },
    element('p', { class: 'genre' }, asset.genre),
    element('h3', {}, asset.title),
    element('p', { class: 'description' }, asset.summary),
    createRightsBadges(asset.rights),
    element('div', { class: 'card-footer' }, counter, button),
  )
  root.style.setProperty('--hue', String(toHue(asset.genre)))
  return { root, counter, views, unit, qualified, viewers, button, key }
}

/**
 * Marks a button as pending without disabling it, because a disabled button loses the focus.
 * @param {HTMLButtonElement} button
 * @param {boolean} isPending
 */
function setPending(button, isPending) {
  button.ariaBusy = String(isPending)
  button.ariaDisabled = String(isPending)
}

/**
 * @param {Card} card
 * @param {Asset} asset
 */
function showCounts(card, { views, qualified, viewers }) {
  setText(card.views, formatCount(views))
  setText(card.unit, views === 1 ? 'view' : 'views')
  setText(card.qualified, `${formatCount(qualified)} qualified`)
  setText(card.viewers, `${formatCount(viewers)} ${viewers === 1 ? 'viewer' : 'viewers'}`)
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
