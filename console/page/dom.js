/**
 * An element with its properties and children. Text becomes text, never markup; undefined children are left out.
 * @template {keyof HTMLElementTagNameMap} Name
 * @param {Name} name
 * @param {{ class?: string, data?: Record<string, string>, [property: string]: unknown }} [properties]
 * @param {(Node | string | undefined)[]} children
 * @returns {HTMLElementTagNameMap[Name]}
 */
export function element(name, { class: className = '', data = {}, ...properties } = {}, ...children) {
  const made = document.createElement(name)
  if (className) made.className = className
  Object.assign(made.dataset, data)
  Object.assign(made, properties)
  made.append(...children.filter((child) => child !== undefined))
  return made
}

/**
 * The element of the page with an id.
 * @template {Element} Type
 * @param {string} id
 * @param {new () => Type} type
 * @returns {Type}
 */
export function byId(id, type) {
  const found = document.getElementById(id)
  if (!(found instanceof type)) throw new Error(`the page has no ${type.name} #${id}`)
  return found
}

/**
 * Sets the text of an element where it is another one, so that nothing is announced or laid out again for nothing.
 * @param {Element} target
 * @param {string} text
 */
export function setText(target, text) {
  if (target.textContent !== text) target.textContent = text
}

/**
 * Lights an element up for a moment, because what it shows has moved.
 * @param {HTMLElement} target
 */
export function highlight(target) {
  if (matchMedia('(prefers-reduced-motion: reduce)').matches) return
  target.animate([{ backgroundColor: 'var(--moved)' }, { backgroundColor: 'transparent' }], 1_200)
}

/** @param {number | null} count */
export function formatCount(count) {
  return count === null ? '–' : count.toLocaleString('en')
}

/**
 * Runs `start` while the page can be seen, and what it returned when it no longer can.
 * @param {() => () => void} start
 */
export function whileVisible(start) {
  /** @type {(() => void) | undefined} */
  let stop
  const adjust = () => {
    if (!document.hidden) stop ??= start()
    else {
      stop?.()
      stop = undefined
    }
  }
  document.addEventListener('visibilitychange', adjust)
  adjust()
}
