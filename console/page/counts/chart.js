import uPlot from '/console/uplot.js'
import { toStep } from '../chart-keys.js'
import { byId } from '../dom.js'
import { EMPTY_FRAME } from './frames.js'

/** @typedef {import('./frames.js').Frame} Frame */

const compact = new Intl.NumberFormat('en', { notation: 'compact' })
const TICKS = Array.from({ length: 15 }, (_, power) => [1, 2, 5].map((n) => n * 10 ** power)).flat()

/**
 * The chart of views over time. The pointer or the arrow keys select a step.
 * @param {{ onStep: (step: number | undefined) => void }} deps
 */
export function createChart({ onStep }) {
  const container = byId('chart', HTMLElement)
  let frame = EMPTY_FRAME
  /** @type {number | undefined} */
  let selected
  const plot = new uPlot(
    toOptions(container, () => frame, onCursor),
    toData(frame),
    container,
  )

  /** @param {uPlot} source */
  function onCursor({ cursor: { idx } }) {
    const step = idx ?? undefined
    if (step === selected) return
    selected = step
    onStep(step)
  }

  /** @param {number | undefined} step undefined to clear the selection */
  function showCursor(step) {
    const left = step === undefined ? -10 : plot.valToPos(step, 'x')
    plot.setCursor({ left, top: left })
  }

  container.addEventListener('keydown', (event) => {
    const step = toStep(event.key, selected, frame.steps.length - 1)
    if (step === null || frame.steps.length === 0) return
    event.preventDefault()
    showCursor(step)
  })
  container.addEventListener('blur', () => showCursor(undefined))
  new ResizeObserver(() => plot.setSize(toSize(container))).observe(container)
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => plot.redraw())

  return {
    /**
     * The selected step stays selected when a new step begins.
     * @param {Frame} next
     */
    show(next) {
      const start = frame.starts[selected ?? -1]
      frame = next
      plot.setData(toData(frame))
      // This also redraws the labels on the time axis.
      plot.redraw(false, true)
      if (start !== undefined) showCursor(Math.max(0, frame.starts.indexOf(start)))
    },
    selected: () => selected,
    /** Clears the selection. */
    reset: () => showCursor(undefined),
    focus: () => container.focus(),
  }
}

/**
 * @param {Frame} frame
 * @returns {uPlot.AlignedData}
 */
function toData({ steps }) {
  return [steps.map((_, n) => n), steps.map(({ views }) => views), steps.map(({ qualified }) => qualified)]
}

/**
 * @param {HTMLElement} container
 * @param {() => Frame} frame
 * @param {(plot: uPlot) => void} onCursor
 * @returns {uPlot.Options}
 */
function toOptions(container, frame, onCursor) {
  const style = getComputedStyle(container)
  const colour = (/** @type {string} */ name) => () => style.getPropertyValue(`--${name}`)
  const axis = {
    stroke: colour('muted'),
    font: `11px ${style.fontFamily}`,
    ticks: { show: false },
    grid: { stroke: colour('border'), width: 1 },
  }
  const bars = uPlot.paths.bars?.({ size: [0.72, 40], radius: 0.15 })
  return {
    ...toSize(container),
    // Half of the last label on the time axis may extend beyond the right edge of the plot.
    padding: [8, 24, 0, 0],
    legend: { show: false },
    cursor: { y: false, drag: { x: false, y: false }, points: { show: false }, move: snap },
    hooks: { setCursor: [onCursor], draw: [setStepWidth] },
    scales: {
      x: { time: false, range: () => [-0.5, Math.max(1, frame().steps.length - 1) + 0.5] },
      y: { range: (_, __, max) => [0, Math.max(4, max * 1.15)] },
    },
    axes: [
      {
        ...axis,
        size: 26,
        grid: { show: false },
        splits: () => frame().times.map(([step]) => step),
        values: () => frame().times.map(([, text]) => text),
      },
      { ...axis, size: 46, space: 36, incrs: TICKS, values: (_, splits) => splits.map((n) => compact.format(n)) },
    ],
    series: [
      {},
      {
        stroke: colour('accent'),
        width: 1,
        fill: colour('accent-faint'),
        points: { show: false },
        ...(bars && { paths: bars }),
      },
      { fill: colour('accent'), width: 0, points: { show: false }, ...(bars && { paths: bars }) },
    ],
  }
}

/**
 * Moves the cursor to the nearest step.
 * @param {uPlot} plot
 * @param {number} left negative if the pointer is outside the plot
 * @param {number} top
 * @returns {[left: number, top: number]}
 */
function snap(plot, left, top) {
  return left < 0 ? [left, top] : [plot.valToPos(plot.posToIdx(left), 'x'), top]
}

/**
 * The style sheet uses this property to make the cursor as wide as a step.
 * @param {uPlot} plot
 */
function setStepWidth(plot) {
  plot.root.style.setProperty('--step', `${plot.valToPos(1, 'x') - plot.valToPos(0, 'x')}px`)
}

/** @param {HTMLElement} container */
function toSize({ clientWidth, clientHeight }) {
  return { width: clientWidth, height: clientHeight }
}
