import { element, formatCount, highlight } from './dom.js'

/** @typedef {{ id: string, views: number }} ViewCount */

/**
 * @param {HTMLElement} list
 * @param {(id: string) => string | undefined} [titleOf] ids without a title are shown as they are
 */
export function createTopList(list, titleOf = () => undefined) {
  /** @type {Map<string, number>} */
  let previous = new Map()
  let rendered = ''

  /** @param {ViewCount[]} top */
  return function render(top) {
    const rows = top.map(({ id, views }) => ({ id, views, name: titleOf(id) ?? id }))
    const serialized = JSON.stringify(rows)
    if (serialized === rendered) return
    rendered = serialized
    const max = top[0]?.views ?? 1
    const items = rows.map((row) => createItem(row, max))
    list.replaceChildren(...(items.length > 0 ? items : [element('li', { class: 'none' }, 'No views yet')]))
    for (const [n, { id, views }] of rows.entries()) {
      const item = items[n]
      if (item && previous.has(id) && previous.get(id) !== views) highlight(item)
    }
    previous = new Map(top.map(({ id, views }) => [id, views]))
  }
}

/**
 * @param {ViewCount & { name: string }} row
 * @param {number} max
 */
function createItem({ views, name }, max) {
  const item = element(
    'li',
    {},
    element('span', { class: 'name', title: name }, name),
    element('b', {}, formatCount(views)),
  )
  item.style.setProperty('--share', String(views / max))
  return item
}
