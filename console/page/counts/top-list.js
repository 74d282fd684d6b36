import { element, formatCount, highlight } from '../dom.js'

/** @typedef {import('../../../shared/contracts/live.ts').LiveEntry} LiveEntry */
/** @typedef {'views' | 'qualified' | 'viewers'} Column */

/** @type {[column: Column, title: string][]} */
const COLUMNS = [
  ['views', 'Plays, each counted exactly once'],
  ['qualified', 'Views that pass the view rules'],
  ['viewers', 'Distinct users'],
]

/**
 * @param {HTMLElement} list
 * @param {(id: string) => string | undefined} [titleOf] ids without a title are shown as they are
 */
export function createTopList(list, titleOf = () => undefined) {
  /** @type {Map<string, number>} */
  let previous = new Map()
  let rendered = ''

  /** @param {LiveEntry[]} top */
  return function render(top) {
    const rows = top.map((entry) => ({ ...entry, name: titleOf(entry.id) ?? entry.id }))
    const serialized = JSON.stringify(rows)
    if (serialized === rendered) return
    rendered = serialized
    const columns = columnsOf(top)
    list.style.setProperty('--columns', String(columns.length))
    const max = top[0]?.views ?? 1
    const items = rows.map((row) => createItem(row, columns, max))
    const content = items.length > 0 ? items : [element('li', { class: 'none' }, 'No views yet')]
    list.replaceChildren(...(columns.length > 1 ? [createHeader(columns)] : []), ...content)
    for (const [n, { id, views }] of rows.entries()) {
      const item = items[n]
      if (item && previous.has(id) && previous.get(id) !== views) highlight(item)
    }
    previous = new Map(top.map(({ id, views }) => [id, views]))
  }
}

/**
 * Leaves out columns without data: users have no viewers, and a previous release of reporting sends only the views.
 * @param {LiveEntry[]} top
 */
function columnsOf(top) {
  return COLUMNS.filter(([column]) => column === 'views' || top.some((entry) => entry[column] !== undefined))
}

/** @param {[column: Column, title: string][]} columns */
function createHeader(columns) {
  const names = columns.map(([column, title]) => element('span', { title }, column))
  return element('li', { class: 'columns', ariaHidden: 'true' }, ...names)
}

/**
 * @param {LiveEntry & { name: string }} row
 * @param {[column: Column, title: string][]} columns
 * @param {number} max
 */
function createItem(row, columns, max) {
  const counts = columns.map(([column]) => {
    const unit = element('span', { class: 'visually-hidden' }, ` ${column}`)
    return element(column === 'views' ? 'b' : 'span', {}, formatCount(row[column] ?? null), unit)
  })
  const item = element('li', {}, element('span', { class: 'name', title: row.name }, row.name), ...counts)
  item.style.setProperty('--share', String(row.views / max))
  return item
}
