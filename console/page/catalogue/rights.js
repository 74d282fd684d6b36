import { element } from '../dom.js'

/** @typedef {import('../../../shared/contracts/rights.ts').Rights} Rights */

/** Maximum number of entries to list. A longer list ends with the number of entries that are not shown. */
const MAX_LISTED = 3

/**
 * Badges that say who may play an asset, and when. Undefined if everyone may play it at any time.
 * @param {Rights} [rights]
 */
export function createRightsBadges({ from, until, countries, plans } = {}) {
  const badge = (/** @type {string | undefined} */ text, /** @type {string} */ title) =>
    text === undefined ? undefined : element('li', { title }, text)
  const badges = [
    badge(toList(countries), `Only in ${countries?.join(', ')}`),
    badge(toList(plans), `Only with the plan ${plans?.join(' or ')}`),
    badge(from && `from ${toDay(from)}`, `Not before ${from}`),
    badge(until && `until ${toDay(until)}`, `Unavailable from ${until}`),
  ]
  if (badges.every((each) => each === undefined)) return undefined
  return element('ul', { class: 'rights', ariaLabel: 'Rights' }, ...badges)
}

/** @type {Record<string, string>} */
const reasonTexts = {
  'not-started': 'its rights have not started yet',
  expired: 'its rights have expired',
  country: 'it is not licensed in your country',
  plan: 'it is not part of your plan',
}

/**
 * Explains why an asset is not available to the viewer; undefined if the response gives no reasons.
 * @param {unknown} body
 */
export function describeDenial(body) {
  const { reasons } = Object(body)
  return Array.isArray(reasons) ? reasons.map((reason) => reasonTexts[reason] ?? reason).join(' and ') : undefined
}

/** @param {string[]} [names] */
function toList(names) {
  if (!names) return undefined
  const rest = names.length - MAX_LISTED
  return `${names.slice(0, MAX_LISTED).join(', ')}${rest > 0 ? ` +${rest}` : ''}`
}

/** @param {string} time */
function toDay(time) {
  return new Date(time).toLocaleDateString('en', { day: 'numeric', month: 'short', year: 'numeric', timeZone: 'UTC' })
}
