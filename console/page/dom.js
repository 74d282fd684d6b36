/**
 * Creates an element. Strings become text nodes, never markup; undefined children are skipped.
 * @template {keyof HTMLElementTagNameMap} Name
 * @param {Name} name
 * @param {{ class?: string, dataset?: Record<string, string>, [property: string]: unknown }} [properties]
 * @param {(Node | string | undefined)[]} children
 * @returns {HTMLElementTagNameMap[Name]}
 */
export function element(name, { class: className = '', dataset = {}, ...properties } = {}, ...children) {
  const created = document.createElement(name)
  if (className) created.className = className
  Object.assign(created.dataset, dataset)
  Object.assign(created, properties)
  created.append(...children.filter((child) => child !== undefined))
  return created
}

/**
 * Creates an entry of a definition list.
 * @param {string} term
 * @param {(Node | string)[]} description
 */
export function createEntry(term, ...description) {
  return element('div', {}, element('dt', {}, term), element('dd', {}, ...description))
}

/**
 * @template {Element} Type
 * @param {string} id
 * @param {new () => Type} type
 * @returns {Type}
 * @throws if the page has no element of this type with this id
 */
export function byId(id, type) {
  const found = document.getElementById(id)
  if (!(found instanceof type)) throw new Error(`the page has no ${type.name} #${id}`)
  return found
}

/**
 * Sets an element's text. Skips unchanged text, which screen readers would announce again.
 * @param {Element} target
 * @param {string} text
 */
export function setText(target, text) {
  if (target.textContent !== text) target.textContent = text
}

/**
 * Replaces an element's children. Skips unchanged children, and keeps the focus on a child that stays.
 * @param {Element} target
 * @param {Element[]} children
 */
export function setChildren(target, children) {
  if (children.length === target.children.length && children.every((child, n) => child === target.children[n])) return
  const focused = document.activeElement
  target.replaceChildren(...children)
  if (focused instanceof HTMLElement && target.contains(focused)) focused.focus({ preventScroll: true })
}

/**
 * Flashes an element whose value has changed.
 * @param {HTMLElement} target
 */
export function highlight(target) {
  if (matchMedia('(prefers-reduced-motion: reduce)').matches) return
  target.animate([{ backgroundColor: 'var(--highlight)' }, { backgroundColor: 'transparent' }], 1_200)
}

/** @param {number | null} count */
export function formatCount(count) {
  return count === null ? '–' : count.toLocaleString('en')
}

const estimate = new Intl.NumberFormat('en', { maximumSignificantDigits: 2 })

/**
 * Formats an approximate duration with two significant digits.
 * @param {number} ms
 */
export function formatRoughMs(ms) {
  return ms < 1_000 ? `${estimate.format(ms)} ms` : `${estimate.format(ms / 1_000)} s`
}

/**
 * Calls `start` when the page becomes visible, and calls the function that `start` returned when the page is hidden.
 * @param {() => () => void} start
 * @returns a function that stops and starts again, if the page is visible
 */
export function whileVisible(start) {
  /** @type {(() => void) | undefined} */
  let stop
  const restart = () => {
    stop?.()
    stop = document.hidden ? undefined : start()
  }
  document.addEventListener('visibilitychange', restart)
  restart()
  return restart
}
