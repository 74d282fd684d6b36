import { nameOf } from '../component-name.js'
import { byId, element, formatCount, setText, whileVisible } from '../dom.js'
import { fetchJson } from '../fetch-json.js'
import { timeOfDay } from '../format-time.js'
import { poll } from '../poll.js'
import { createEventList, toEvents } from './events.js'
import { describePoint } from './lanes.js'
import { createPicture } from './picture.js'
import { RANGES, toAxis, toLastTime, toRange } from './times.js'

/** @typedef {import('../../../shared/contracts/history.ts').History} History */
/** @typedef {import('../../../shared/contracts/history.ts').HistoryRange} HistoryRange */
/** @typedef {import('./lanes.js').Text} Text */
/** @typedef {import('./times.js').Axis} Axis */

const TIMEOUT_MS = 3_000

/** The panel that shows what happened to the system, as a picture and as a list of events. */
export function createHistory() {
  const panel = byId('history', HTMLElement)
  const figure = byId('history-picture', HTMLElement)
  const inputs = [...panel.querySelectorAll('input[name="history-range"]')].filter(
    (each) => each instanceof HTMLInputElement,
  )
  const time = byId('history-time', HTMLInputElement)
  const summary = byId('history-summary', HTMLElement)
  const picture = createPicture(figure, { onStep: showStep })
  const showEvents = createEventList(byId('history-events', HTMLElement), goTo)
  /** @type {HistoryRange} */
  let range = '5m'
  /** @type {{ history: History, axis: Axis } | undefined} */
  let shown
  /** The time to select once its range is loaded. @type {number | undefined} */
  let wanted
  /** Says why the requested time is not selected. */
  let note = ''
  let restart = () => {}

  /** @param {History | undefined} history undefined while the edge is unreachable */
  function show(history) {
    figure.toggleAttribute('data-old', !history)
    setText(
      byId('history-age', HTMLElement),
      history || !shown ? note : `Not updated since ${timeOfDay.format(Date.parse(shown.history.now))}. Retrying…`,
    )
    if (!history && !shown) setText(summary, 'Unavailable right now. Retrying…')
    if (!history || history.range !== range) return
    shown = { history, axis: toAxis(history) }
    picture.show(history, shown.axis)
    const events = toEvents(history)
    showEvents(events)
    setText(summary, toSummary(history))
    if (wanted !== undefined) select(wanted)
    wanted = undefined
  }

  /** @param {number} at milliseconds since 1970 */
  function select(at) {
    if (!shown) return
    const { history, axis } = shown
    // The history is kept for longer than the longest range shows, so its start may be before the start of the axis.
    const first = Math.max(Date.parse(history.since ?? history.now), history.range === '24h' ? axis.start : 0)
    picture.select(at < first ? undefined : axis.stepAt(at))
    if (at < first) showNote(`No data before ${timeOfDay.format(first)}.`)
  }

  /** @param {string} text */
  function showNote(text) {
    note = text
    setText(byId('history-age', HTMLElement), note)
  }

  /** @param {number | undefined} step undefined for the whole range */
  function showStep(step) {
    if (!shown) return
    if (step !== undefined && note) showNote('')
    const { title, texts } = step === undefined ? describeRange(shown.history) : describeStep(shown, step)
    setText(byId('history-caption', HTMLElement), title)
    const list = byId('history-numbers', HTMLElement)
    const joined = texts.map(([, text]) => text).join()
    if (list.dataset.texts !== joined)
      list.replaceChildren(...texts.map(([name, text]) => element('li', { class: `of-${name}` }, text)))
    list.dataset.texts = joined
    figure.ariaValueMax = String(shown.axis.count)
    figure.ariaValueNow = String((step ?? shown.axis.count - 1) + 1)
    figure.ariaValueText = [title, ...texts.map(([, text]) => text)].join(', ')
  }

  /** @param {HistoryRange} next */
  function setRange(next) {
    range = next
    if (note) showNote('')
    for (const input of inputs) input.checked = input.value === range
    restart()
  }

  /** @param {number} at milliseconds since 1970 */
  function goTo(at) {
    figure.focus()
    if (shown && at >= shown.axis.start) return select(at)
    wanted = at
    setRange(toRange(at, Date.parse(shown?.history.now ?? '') || Date.now()))
  }

  for (const input of inputs)
    input.addEventListener('change', () => setRange(/** @type {HistoryRange} */ (input.value)))
  byId('history-go', HTMLFormElement).addEventListener('submit', (event) => {
    event.preventDefault()
    if (time.value) goTo(toLastTime(time.value, Date.parse(shown?.history.now ?? '') || Date.now()))
  })
  // Set the range explicitly, because browsers restore the checked range when the page is reloaded.
  setRange('5m')
  restart = whileVisible(() => {
    const load = () => fetchJson(`/history?range=${range}`, { timeoutMs: TIMEOUT_MS })
    return poll(load, show, RANGES[range].pollMs)
  })
}

/** @param {History} history */
function toSummary({ outages, restarts }) {
  const open = [
    ...new Set(outages.flatMap(({ service, state, to }) => (to === null ? [`${nameOf(service)} ${state}`] : []))),
  ]
  if (open.length > 0) return `Now: ${open.join(', ')}`
  if (outages.length + restarts.length === 0) return 'No outages, no restarts'
  return `${toCount(outages.length, 'outage')}, ${toCount(restarts.length, 'restart')}`
}

/**
 * @param {number} n
 * @param {string} what
 */
function toCount(n, what) {
  return `${n} ${what}${n === 1 ? '' : 's'}`
}

/**
 * @param {History} history
 * @returns {{ title: string, texts: Text[] }}
 */
function describeRange({ range, points }) {
  const plays = points.reduce((sum, point) => sum + point.plays, 0)
  const errors = points.reduce((sum, point) => sum + point.errors, 0)
  return {
    title: RANGES[range].title,
    texts: [
      ['views', `${formatCount(plays)} ${plays === 1 ? 'view' : 'views'}`],
      ['errors', `${formatCount(errors)} ${errors === 1 ? 'error' : 'errors'}`],
    ],
  }
}

/**
 * @param {{ history: History, axis: Axis }} shown
 * @param {number} step
 * @returns {{ title: string, texts: Text[] }}
 */
function describeStep({ history: { outages, restarts, now }, axis }, step) {
  const [start, end] = [axis.timeOf(step), axis.timeOf(step + 1)]
  const point = axis.pointAt(step)
  /** @type {Text[]} */
  const failing = outages
    .filter(({ from, to }) => Date.parse(from) < end && Date.parse(to ?? now) >= start)
    .map(({ service, state }) => [state, `${nameOf(service)} ${state}`])
  /** @type {Text[]} */
  const restarted = restarts
    .filter(({ at }) => Date.parse(at) >= start && Date.parse(at) < end)
    .map(({ service }) => ['restarted', `${nameOf(service)} restarted`])
  /** @type {Text[]} */
  const values = point ? describePoint(point) : [['none', 'no data']]
  const title = axis.stepMs > 1_000 ? `${timeOfDay.format(start)} – ${timeOfDay.format(end)}` : timeOfDay.format(start)
  return { title, texts: [...failing, ...restarted, ...values] }
}
