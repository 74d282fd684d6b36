import { toStep } from '../chart-keys.js'
import { nameOf } from '../component-name.js'
import { svg } from '../svg.js'
import { drawGaps, drawTicks } from './axis.js'
import { drawLanes, lanesHeight, MIN_WIDTH } from './curves.js'

/** @typedef {import('../../../shared/contracts/history.ts').History} History */
/** @typedef {import('./times.js').Axis} Axis */
/** @typedef {import('./curves.js').Area} Area */

const GUTTER = 92
const RIGHT = 10
const ROW = 17
const AXIS = 22

/**
 * The picture of a history, on one time axis: the curves at the top, and below them a row for each component, with its
 * outages and restarts. The pointer or the arrow keys select a step.
 * @param {HTMLElement} container
 * @param {{ onStep: (step: number | undefined) => void }} deps
 */
export function createPicture(container, { onStep }) {
  const root = svg('svg', { 'aria-hidden': 'true' })
  container.append(root)
  /** @type {{ history: History, axis: Axis } | undefined} */
  let shown
  /** @type {number | undefined} */
  let selected
  /** @type {SVGElement | undefined} */
  let cursor

  /** @param {number | undefined} step */
  function select(step) {
    selected = step
    moveCursor()
    onStep(step)
  }

  function moveCursor() {
    if (!shown || !cursor) return
    cursor.toggleAttribute('hidden', selected === undefined)
    if (selected === undefined) return
    const { axis } = shown
    const { x } = toArea(container, shown)
    const left = x(axis.timeOf(selected))
    const width = Math.max(MIN_WIDTH, x(axis.timeOf(selected + 1)) - left)
    cursor.setAttribute('x', String(left))
    cursor.setAttribute('width', String(width))
  }

  function draw() {
    if (!shown || container.clientWidth === 0) return
    const area = toArea(container, shown)
    root.setAttribute('viewBox', `0 0 ${container.clientWidth} ${area.bottom + AXIS}`)
    root.setAttribute('height', String(area.bottom + AXIS))
    cursor = svg('rect', { class: 'history-cursor', y: 0, height: area.bottom })
    root.replaceChildren(
      ...drawTicks(shown.axis, area),
      ...drawGaps(shown.axis, area),
      ...drawBands(shown.history, area),
      ...drawLanes(shown.axis, area),
      ...drawRows(shown.history, area),
      cursor,
    )
    moveCursor()
  }

  /** @param {PointerEvent} event */
  function onPointer({ clientX }) {
    if (!shown) return
    const { axis } = shown
    const { left, right } = toArea(container, shown)
    const share = (clientX - container.getBoundingClientRect().left - left) / (right - left)
    if (share < 0 || share > 1) return select(undefined)
    select(axis.stepAt(axis.start + share * (axis.end - axis.start)))
  }

  container.addEventListener('pointermove', onPointer)
  container.addEventListener('pointerdown', onPointer)
  container.addEventListener('pointerleave', () => {
    if (document.activeElement !== container) select(undefined)
  })
  container.addEventListener('blur', () => select(undefined))
  container.addEventListener('keydown', (event) => {
    const step = toStep(event.key, selected, (shown?.axis.count ?? 1) - 1)
    if (step === null || !shown) return
    event.preventDefault()
    select(step)
  })
  new ResizeObserver(draw).observe(container)

  return {
    /**
     * Shows a history; the selected time stays selected.
     * @param {History} history
     * @param {Axis} axis
     */
    show(history, axis) {
      const isSameScale = shown?.axis.stepMs === axis.stepMs
      const before = isSameScale && selected !== undefined ? shown?.axis.timeOf(selected) : undefined
      shown = { history, axis }
      selected = before === undefined || before < axis.start ? undefined : axis.stepAt(before)
      draw()
      onStep(selected)
    },
    select,
  }
}

/**
 * @param {HTMLElement} container
 * @param {{ history: History, axis: Axis }} shown
 * @returns {Area}
 */
function toArea({ clientWidth }, { history: { services }, axis: { start, end } }) {
  const right = clientWidth - RIGHT
  return {
    x: (at) => GUTTER + ((Math.min(end, Math.max(start, at)) - start) / (end - start)) * (right - GUTTER),
    left: GUTTER,
    right,
    bottom: lanesHeight + services.length * ROW,
  }
}

/**
 * Draws bands behind the curves for the times when something was down.
 * @param {History} history
 * @param {Area} area
 */
function drawBands({ outages, now }, area) {
  const down = outages.filter(({ state }) => state === 'down')
  return down.map((outage) => drawSpan('history-band', outage, now, area, 0, area.bottom))
}

/**
 * @param {string} name
 * @param {History['outages'][0]} outage
 * @param {string} now
 * @param {Area} area
 * @param {number} y
 * @param {number} height
 */
function drawSpan(name, { state, from, to }, now, { x, right }, y, height) {
  const left = x(Date.parse(from))
  const end = to === null ? Math.max(right, x(Date.parse(now))) : x(Date.parse(to))
  return svg('rect', { class: name, 'data-state': state, x: left, y, width: Math.max(MIN_WIDTH, end - left), height })
}

/**
 * Draws a row for each component, with its outages and restarts.
 * @param {History} history
 * @param {Area} area
 */
function drawRows({ services, outages, restarts, now, points }, area) {
  const top = area.bottom - services.length * ROW
  return services.flatMap((service, n) => {
    const y = top + n * ROW
    const middle = y + ROW / 2
    const [first] = points
    const start = first ? area.x(Date.parse(first.at)) : area.right
    return [
      svg('text', { class: 'history-label', x: 0, y: middle + 4 }, nameOf(service)),
      svg('line', { class: 'history-up', x1: start, x2: area.right, y1: middle, y2: middle }),
      ...outages
        .filter((outage) => outage.service === service)
        .map((outage) => drawSpan('history-outage', outage, now, area, y + 3, ROW - 6)),
      ...restarts
        .filter((restart) => restart.service === service)
        .map(({ at }) => drawRestart(area.x(Date.parse(at)), middle)),
    ]
  })
}

/**
 * @param {number} x
 * @param {number} y
 */
function drawRestart(x, y) {
  return svg('path', { class: 'history-restart', d: `M${x} ${y - 6}l5 10h-10z` })
}
