import { svg } from '../svg.js'
import { LANES } from './lanes.js'

/** @typedef {import('./times.js').Axis} Axis */
/** @typedef {import('./lanes.js').Lane} Lane */
/** @typedef {{ x: (at: number) => number, left: number, right: number, bottom: number }} Area */

/** Minimum width of an event, so that short events stay visible. */
export const MIN_WIDTH = 2
const LANE_GAP = 10
export const lanesHeight = LANES.reduce((sum, { height }) => sum + height + LANE_GAP, 0)

/**
 * Draws the curves, one below the other.
 * @param {Axis} axis
 * @param {Area} area
 */
export function drawLanes(axis, area) {
  let top = 0
  return LANES.flatMap((lane) => {
    const drawn = drawLane(axis, area, lane, top)
    top += lane.height + LANE_GAP
    return drawn
  })
}

/**
 * @param {Axis} axis
 * @param {Area} area
 * @param {Lane} lane
 * @param {number} top
 */
function drawLane(axis, area, { name, label, height, minimum, value, format }, top) {
  const values = Array.from({ length: axis.count }, (_, n) => {
    const point = axis.pointAt(n)
    return point ? value(point) : null
  })
  const peak = Math.max(0, ...values.map((each) => each ?? 0))
  const scale = (height - 4) / Math.max(minimum, peak)
  const bottom = top + height
  const y = (/** @type {number} */ each) => bottom - each * scale
  const x = (/** @type {number} */ n) => area.x(axis.timeOf(n + 0.5))
  const errors = name === 'views' ? drawErrors(axis, area, (each) => Math.max(3, each * scale), bottom) : []
  return [
    svg('text', { class: 'history-label', x: 0, y: top + 12 }, label),
    svg('text', { x: 0, y: top + 26 }, `peak ${format(peak)}`),
    svg('line', { class: 'history-baseline', x1: area.left, x2: area.right, y1: bottom, y2: bottom }),
    svg('path', { class: `history-area of-${name}`, d: toAreas(values, x, y, bottom) }),
    svg('path', { class: `history-line of-${name}`, d: toLines(values, x, y) }),
    ...errors,
  ]
}

/**
 * @param {Axis} axis
 * @param {Area} area
 * @param {(rate: number) => number} toHeight
 * @param {number} bottom
 */
function drawErrors(axis, { x }, toHeight, bottom) {
  return Array.from({ length: axis.count }, (_, n) => n).flatMap((n) => {
    const point = axis.pointAt(n)
    const rate = point ? point.errors / point.seconds : 0
    if (rate === 0) return []
    const left = x(axis.timeOf(n))
    const height = Math.min(toHeight(rate), bottom)
    const width = Math.max(MIN_WIDTH, x(axis.timeOf(n + 1)) - left - 0.5)
    return [svg('rect', { class: 'history-errors', x: left, y: bottom - height, width, height })]
  })
}

/**
 * Splits the values into runs without nulls.
 * @param {(number | null)[]} values
 * @param {(n: number) => number} x
 * @param {(value: number) => number} y
 */
function toRuns(values, x, y) {
  /** @type {[x: number, y: number][][]} */
  const runs = []
  let isOpen = false
  for (const [n, value] of values.entries()) {
    if (value !== null) {
      if (!isOpen) runs.push([])
      runs.at(-1)?.push([round(x(n)), round(y(value))])
    }
    isOpen = value !== null
  }
  return runs
}

/** @param {Parameters<typeof toRuns>} run */
function toLines(...run) {
  // Draw a run of one value as a dot.
  return toRuns(...run)
    .map((points) => `M${points.map((point) => point.join(' ')).join('L')}${points.length === 1 ? 'h.1' : ''}`)
    .join('')
}

/**
 * @param {(number | null)[]} values
 * @param {(n: number) => number} x
 * @param {(value: number) => number} y
 * @param {number} bottom
 */
function toAreas(values, x, y, bottom) {
  return toRuns(values, x, y)
    .map((points) => {
      const [first = [0, 0], last = first] = [points[0], points.at(-1)]
      return `M${first[0]} ${bottom}L${points.map((point) => point.join(' ')).join('L')}L${last[0]} ${bottom}Z`
    })
    .join('')
}

/** @param {number} value */
function round(value) {
  return Math.round(value * 10) / 10
}
