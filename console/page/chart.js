import uPlot from '/console/uplot.js'
import { SECONDS } from './counts.js'
import { byId } from './dom.js'

const X = Array.from({ length: SECONDS }, (_, n) => n - SECONDS + 1)

/** Views a second over the last minutes. */
export function createChart() {
  const place = byId('chart', HTMLElement)
  /** @type {number[]} */
  let values = X.map(() => 0)
  let plot = draw()

  function draw() {
    return new uPlot(options(sizeOf(place)), [X, values], place)
  }

  function drawAgain() {
    plot.destroy()
    plot = draw()
  }

  new ResizeObserver(() => {
    plot.setSize(sizeOf(place))
  }).observe(place)
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', drawAgain)

  return {
    /** @param {number[]} perSecond */
    show(perSecond) {
      values = perSecond
      plot.setData([X, values])
    },
  }
}

/**
 * @param {{ width: number, height: number }} size
 * @returns {uPlot.Options}
 */
function options(size) {
  const style = getComputedStyle(byId('chart', HTMLElement))
  const colour = (/** @type {string} */ name) => style.getPropertyValue(`--${name}`)
  const axis = {
    stroke: colour('muted'),
    font: `11px ${style.fontFamily}`,
    ticks: { show: false },
    grid: { stroke: colour('line'), width: 1 },
  }
  return {
    ...size,
    padding: [8, 12, 0, 0],
    legend: { show: false },
    cursor: { show: false },
    scales: { x: { time: false, range: [X[0] ?? 0, 0] }, y: { range: (_, __, most) => [0, Math.max(4, most * 1.15)] } },
    axes: [
      {
        ...axis,
        size: 26,
        grid: { show: false },
        splits: () => [-240, -180, -120, -60, 0],
        values: (_, splits) => splits.map(toAgo),
      },
      {
        ...axis,
        size: 46,
        space: 36,
        incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000],
      },
    ],
    series: [{}, { stroke: colour('accent'), width: 1.5, fill: colour('accent-faint'), points: { show: false } }],
  }
}

/** @param {number} second */
function toAgo(second) {
  return second === 0 ? 'now' : `−${-second / 60} min`
}

/** @param {HTMLElement} place */
function sizeOf({ clientWidth, clientHeight }) {
  return { width: clientWidth, height: clientHeight }
}
