import { byId, formatCount, setText } from '../dom.js'

/**
 * Shows where the tour's views are: each view whose play got a 200 is either counted or waiting.
 * @param {import('./ledger.js').Sum} sum
 */
export function showIdentity({ answered, counted, log, outbox, unknown, rejected }) {
  const waiting = log + outbox
  const show = (/** @type {string} */ id, /** @type {number} */ count) =>
    setText(byId(id, HTMLElement), formatCount(count))
  show('answered', answered)
  show('counted', counted)
  show('waiting', waiting)
  show('unknown', unknown)
  byId('unknown-term', HTMLElement).hidden = unknown === 0
  setText(byId('waiting-label', HTMLElement), toPlaces(log, outbox))
  const isKept = answered === counted + waiting && rejected === 0
  const strip = byId('identity', HTMLElement)
  strip.dataset.state = answered === 0 ? 'unknown' : isKept ? 'up' : rejected > 0 ? 'down' : 'unknown'
  setText(byId('identity-verdict', HTMLElement), toVerdict({ answered, waiting, unknown, rejected }))
}

/**
 * @param {number} log
 * @param {number} outbox
 */
function toPlaces(log, outbox) {
  const places = [...(log > 0 ? [`${log} in the log`] : []), ...(outbox > 0 ? [`${outbox} in the outbox`] : [])]
  return places.length > 0 ? `waiting: ${places.join(', ')}` : 'waiting'
}

/** @param {{ answered: number, waiting: number, unknown: number, rejected: number }} sum */
function toVerdict({ answered, waiting, unknown, rejected }) {
  if (answered === 0) return 'No plays in this tour yet'
  if (rejected > 0) return `${rejected} views were rejected`
  if (unknown > 0) return 'Locating the other views'
  return waiting > 0 ? 'Kept: the other views are waiting to be counted' : 'Kept: every view is counted'
}
