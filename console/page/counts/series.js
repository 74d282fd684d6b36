import { fetchJson } from '../fetch-json.js'
import { poll } from '../poll.js'

/** @typedef {import('../../../shared/contracts/series.ts').Series} Series */
/** @typedef {import('../../../shared/contracts/series.ts').SeriesStep} SeriesStep */

/** The edge caches a series for a second, so polling faster than that would return the same data. */
const POLL_INTERVAL_MS = 2_000
const TIMEOUT_MS = 1_500

/**
 * Polls `GET /series` until the returned function is called. The series is undefined while counts are unavailable.
 * @param {{ step: SeriesStep, assetId: string | undefined }} query
 * @param {(series: Series | undefined) => void} onSeries
 */
export function pollSeries({ step, assetId }, onSeries) {
  const query = new URLSearchParams({ step, ...(assetId !== undefined && { assetId }) })
  return poll(() => fetchJson(`/series?${query}`, { timeoutMs: TIMEOUT_MS }), onSeries, POLL_INTERVAL_MS)
}
