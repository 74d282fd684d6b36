/** @typedef {import('./response.js').PlayResponse} PlayResponse */

/** No play takes this long, unless the edge hangs. */
const TIMEOUT_MS = 5_000

/**
 * Plays an asset.
 * @param {string} url
 * @param {Record<string, string>} headers
 * @returns {Promise<PlayResponse>} never rejects
 */
export async function postPlay(url, headers) {
  const startedAt = performance.now()
  try {
    const response = await fetch(url, { method: 'POST', headers, signal: AbortSignal.timeout(TIMEOUT_MS) })
    const body = await response.json()
    const playback = response.status === 200 ? body : undefined
    const viewId = response.headers.get('view-id')
    const requestId = response.headers.get('x-request-id')
    return { status: response.status, viewId, requestId, body, playback, ms: performance.now() - startedAt }
  } catch {
    const ms = performance.now() - startedAt
    return { status: 0, viewId: null, requestId: null, body: undefined, playback: undefined, ms }
  }
}
