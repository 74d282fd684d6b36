import uPlot from '/console/uplot.js'
import { HISTORY_SECONDS } from './counts.js'
import { byId } from './dom.js'

/** Seconds before now, from -299 to 0. */
const X_VALUES = Array.from({ length: HISTORY_SECONDS }, (_, n) => n - HISTORY_SECONDS + 1)

/** The chart of views per second over the last five minutes. */
export function createChart() {
  const container = byId('chart', HTMLElement)
  let values = X_VALUES.map(() => 0)
  let plot = draw()

  function draw() {
    return new uPlot(toOptions(container), [X_VALUES, values], container)
  }

  new ResizeObserver(() => plot.setSize(toSize(container))).observe(container)
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
    plot.destroy()
    plot = draw()
  })

  return {
    /** @param {number[]} perSecond */
    show(perSecond) {
      values = perSecond
      plot.setData([X_VALUES, values])
    },
  }
}

/**
 * @param {HTMLElement} container
 * @returns {uPlot.Options}
 */
function toOptions(container) {
  const style = getComputedStyle(container)
  const colour = (/** @type {string} */ name) => style.getPropertyValue(`--${name}`)
  const axis = {
    stroke: colour('muted'),
    font: `11px ${style.fontFamily}`,
    ticks: { show: false },
    grid: { stroke: colour('border'), width: 1 },
  }
  return {
    ...toSize(container),
    padding: [8, 12, 0, 0],
    legend: { show: false },
    cursor: { show: false },
    scales: {
      x: { time: false, range: [X_VALUES[0] ?? 0, 0] },
      y: { range: (_, __, max) => [0, Math.max(4, max * 1.15)] },
    },
    axes: [
      {
        ...axis,
        size: 26,
        grid: { show: false },
        splits: () => [-240, -180, -120, -60, 0],
        values: (_, splits) => splits.map((second) => (second === 0 ? 'now' : `−${-second / 60} min`)),
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

/** @param {HTMLElement} container */
function toSize({ clientWidth, clientHeight }) {
  return { width: clientWidth, height: clientHeight }
}
