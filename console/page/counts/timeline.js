import { byId, setText, whileVisible } from '../dom.js'
import { fetchJson } from '../fetch-json.js'
import { timeOfDay } from '../format-time.js'
import { poll } from '../poll.js'
import { createChart } from './chart.js'
import { EMPTY_FRAME, ranges, toFrame } from './frames.js'
import { createReadout } from './readout.js'

/** @typedef {import('../../../shared/contracts/series.ts').Series} Series */
/** @typedef {import('./frames.js').Frame} Frame */
/** @typedef {{ id: string, title: string }} Asset */

/** The edge caches a series for a second, so polling faster than that would return the same data. */
const POLL_MS = 2_000
const TIMEOUT_MS = 1_500
const INITIAL_RANGE = 'hour'
/** The ranges for a single asset. Ranges with shorter steps are available only for all assets together. */
const ASSET_RANGES = ['day', 'month']

/**
 * The views over time, for all assets together or for a single asset.
 * @param {{ clock: { now: () => number } }} deps
 */
export function createTimeline({ clock }) {
  const panel = byId('timeline', HTMLElement)
  const inputs = [...panel.querySelectorAll('input')]
  const chart = createChart({ onStep: (step) => showStep(frame, step) })
  const showStep = createReadout()
  let range = INITIAL_RANGE
  /** @type {Asset | undefined} */
  let asset
  let frame = EMPTY_FRAME
  /** When the series was loaded, in seconds since 1970; 0 if it is not loaded. */
  let updatedAt = 0
  let restart = () => {}

  /** @param {Frame} next */
  function show(next) {
    frame = next
    chart.show(frame)
    showStep(frame, chart.selected())
  }

  /**
   * @param {string} nextRange
   * @param {Asset | undefined} nextAsset
   */
  function select(nextRange, nextAsset) {
    range = nextRange
    asset = nextAsset
    updatedAt = 0
    for (const input of inputs) {
      input.checked = input.value === range
      input.disabled = asset !== undefined && !ASSET_RANGES.includes(input.value)
    }
    byId('timeline-asset', HTMLElement).hidden = asset === undefined
    setText(byId('timeline-title', HTMLElement), asset?.title ?? '')
    showAge(undefined)
    chart.reset()
    const polled = ranges[range]
    if (polled) show(toFrame(polled, undefined))
    restart()
  }

  for (const input of inputs) input.addEventListener('change', () => select(input.value, asset))
  byId('timeline-all', HTMLButtonElement).addEventListener('click', () => {
    select(range, undefined)
    chart.focus()
  })
  // Select the range explicitly, because browsers restore the checked range when the page is reloaded.
  select(INITIAL_RANGE, undefined)
  restart = whileVisible(() => {
    const polled = ranges[range]
    if (!polled) return () => {}
    const query = new URLSearchParams({ step: polled.step, ...(asset && { assetId: asset.id }) })
    const load = () => fetchJson(`/series?${query}`, { timeoutMs: TIMEOUT_MS })
    /** @param {Series | undefined} series undefined while counts are unavailable */
    const showSeries = (series) => {
      showAge(series ? undefined : updatedAt)
      if (!series) return
      updatedAt = clock.now()
      show(toFrame(polled, series))
    }
    return poll(load, showSeries, POLL_MS)
  })

  return {
    /** @param {Asset} shown */
    showAsset(shown) {
      select(ASSET_RANGES.includes(range) ? range : 'day', shown)
      panel.scrollIntoView({ block: 'nearest' })
      chart.focus()
    },
  }
}

/**
 * Shows how old the chart is if it is not current.
 * @param {number | undefined} updatedAt seconds since 1970; 0 if the chart was never loaded; undefined if it is current
 */
function showAge(updatedAt) {
  const text = updatedAt ? `Not updated since ${timeOfDay.format(updatedAt * 1_000)}.` : 'Unavailable right now.'
  setText(byId('timeline-age', HTMLElement), updatedAt === undefined ? '' : `${text} Retrying…`)
  byId('chart', HTMLElement).toggleAttribute('data-old', updatedAt !== undefined)
}
