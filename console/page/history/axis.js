import { hourAndMinute } from '../format-time.js'
import { svg } from '../svg.js'

/** @typedef {import('./times.js').Axis} Axis */
/** @typedef {import('./curves.js').Area} Area */

const MIN_TICK_DISTANCE = 48
/** Only gaps that are wider than this are labelled. */
const MIN_TEXT = 90

/**
 * Draws a line at each tick, and labels as many ticks as there is room for.
 * @param {Axis} axis
 * @param {Area} area
 */
export function drawTicks({ ticks, start, end }, { x, left, right, bottom }) {
  const distance = ((right - left) / (end - start)) * ((ticks[1] ?? end) - (ticks[0] ?? start))
  const every = Math.ceil(MIN_TICK_DISTANCE / distance)
  return ticks.flatMap((at, n) => [
    svg('line', { class: 'history-tick', x1: x(at), x2: x(at), y1: 0, y2: bottom }),
    ...(n % every === 0 && x(at) > left + 14 && x(at) < right - 12
      ? [svg('text', { class: 'history-time', x: x(at), y: bottom + 16 }, hourAndMinute.format(at))]
      : []),
  ])
}

/**
 * Draws the intervals without samples.
 * @param {Axis} axis
 * @param {Area} area
 */
export function drawGaps(axis, { x, bottom }) {
  /** @type {SVGElement[]} */
  const gaps = []
  let from = 0
  for (let n = 0; n <= axis.count; n += 1) {
    if (n < axis.count && !axis.pointAt(n)) continue
    // The last step is not a gap: it has no sample until it has ended.
    if (n > from && !(n === axis.count && n - from === 1)) {
      const left = x(axis.timeOf(from))
      const width = x(axis.timeOf(n)) - left
      gaps.push(svg('rect', { class: 'history-gap', x: left, y: 0, width, height: bottom }))
      if (width > MIN_TEXT) gaps.push(svg('text', { class: 'history-time', x: left + width / 2, y: 16 }, 'no data'))
    }
    from = n + 1
  }
  return gaps
}
