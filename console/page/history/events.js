import { nameOf } from '../component-name.js'
import { element, setChildren, setText } from '../dom.js'
import { timeOfDay } from '../format-time.js'

/** @typedef {import('../../../shared/contracts/history.ts').History} History */
/**
 * `key` identifies an event even if its text changes.
 * @typedef {{ key: string, at: number, state: 'down' | 'degraded' | 'restarted', text: string }} HistoryEvent
 */

/** A restart belongs to an outage if it happens during the outage, or at most this long before or after it. */
const SAME_MS = 3_000
const MAX_SHOWN = 50

/**
 * The outages and restarts in words, newest first. A restart that ended an outage is part of that outage's event.
 * @param {History} history
 * @returns {HistoryEvent[]}
 */
export function toEvents({ outages, restarts, now }) {
  const unexplained = new Set(restarts)
  const events = outages.map(({ service, instance, state, reason, from, to }) => {
    const start = Date.parse(from)
    const end = Date.parse(to ?? now)
    const restart = restarts.find(
      (each) =>
        state === 'down' &&
        each.service === service &&
        each.instance === instance &&
        Date.parse(each.at) >= start - SAME_MS &&
        Date.parse(each.at) <= end + SAME_MS,
    )
    if (restart) unexplained.delete(restart)
    const duration = formatDuration(end - start)
    const verb = to === null ? `has been ${state} for` : `was ${state} for`
    const why = reason ? `: ${reason}` : ''
    const after = restart ? `, then restarted at ${timeOfDay.format(Date.parse(restart.at))}` : ''
    const text = `${toSubject(service, instance)} ${verb} ${duration}${why}${after}`
    return { key: toKey(from, state, service, instance), at: start, state, text }
  })
  const restartEvents = [...unexplained].map(({ service, instance, at }) => {
    const state = /** @type {const} */ ('restarted')
    const text = `${toSubject(service, instance)} restarted`
    return { key: toKey(at, state, service, instance), at: Date.parse(at), state, text }
  })
  return [...events, ...restartEvents].toSorted((a, b) => b.at - a.at)
}

/**
 * Shows events as a list of buttons. Each button selects the time of its event. An unchanged list keeps its elements,
 * so a focused button keeps the focus.
 * @param {HTMLElement} list
 * @param {(at: number) => void} onSelect
 */
export function createEventList(list, onSelect) {
  /** @type {Map<string, HTMLLIElement>} */
  let items = new Map()
  const none = element('li', { class: 'none' }, 'No outages or restarts in this period.')

  /** @param {HistoryEvent} event */
  function toItem(event) {
    const item = items.get(event.key) ?? createItem(event, onSelect)
    setText(item.querySelector('.text') ?? item, event.text)
    return item
  }

  /** @param {HistoryEvent[]} events */
  return function show(events) {
    const shown = events.slice(0, MAX_SHOWN)
    items = new Map(shown.map((event) => [event.key, toItem(event)]))
    setChildren(list, items.size > 0 ? [...items.values()] : [none])
  }
}

/**
 * @param {HistoryEvent} event
 * @param {(at: number) => void} onSelect
 */
function createItem({ at, state, text }, onSelect) {
  const time = element('time', { dateTime: new Date(at).toISOString() }, timeOfDay.format(at))
  const button = element(
    'button',
    { type: 'button', onclick: () => onSelect(at) },
    time,
    ' ',
    element('span', { class: 'text' }, text),
  )
  return element('li', { dataset: { state } }, button)
}

/**
 * The time alone is not unique: services that fail in the same sample have the same time.
 * @param {string} time
 * @param {HistoryEvent['state']} state
 * @param {string} service
 * @param {string} [instance]
 */
function toKey(time, state, service, instance = '') {
  return `${time} ${state} ${service} ${instance}`
}

/**
 * @param {string} service
 * @param {string | undefined} instance
 */
function toSubject(service, instance) {
  return instance ? `${nameOf(service)} ${new URL(instance).host}` : nameOf(service)
}

/** @param {number} ms */
function formatDuration(ms) {
  const seconds = Math.max(1, Math.round(ms / 1_000))
  if (seconds < 120) return `${seconds} s`
  const minutes = Math.round(seconds / 60)
  return minutes < 120 ? `${minutes} min` : `${Math.round(minutes / 60)} h`
}
