import { element, formatCount, highlight } from './dom.js'

/** @typedef {{ id: string, views: number }} ViewCount */

/**
 * A list of the most viewed.
 * @param {HTMLElement} list
 * @param {(id: string) => string | undefined} [titleOf]
 */
export function createTopList(list, titleOf = () => undefined) {
  /** @type {Map<string, number>} */
  let shown = new Map()
  let rendered = ''

  /** @param {ViewCount[]} top */
  return function render(top) {
    const rows = top.map(({ id, views }) => ({ id, views, name: titleOf(id) ?? id }))
    const next = JSON.stringify(rows)
    if (next === rendered) return
    rendered = next
    const most = top[0]?.views ?? 1
    list.replaceChildren(
      ...(rows.length > 0 ? rows.map((row) => toItem(row, most)) : [element('li', { class: 'none' }, 'No views yet')]),
    )
    for (const [n, { id, views }] of rows.entries()) {
      const item = list.children[n]
      const before = shown.get(id)
      if (before !== undefined && before !== views && item instanceof HTMLElement) highlight(item)
    }
    shown = new Map(top.map(({ id, views }) => [id, views]))
  }
}

/**
 * @param {ViewCount & { name: string }} row
 * @param {number} most
 */
function toItem({ id, views, name }, most) {
  const item = element(
    'li',
    { data: { id } },
    element('span', { class: 'name', title: name }, name),
    element('b', {}, formatCount(views)),
  )
  item.style.setProperty('--share', String(views / most))
  return item
}
