import { byId, setText } from './dom.js'
import { poll } from './poll.js'

/** @typedef {import('../../shared/contracts/system-status.ts').SystemStatus} SystemStatus */

const POLL_INTERVAL_MS = 500
/**
 * Much longer than `GET /status` takes if a service hangs (0.6 s), because the request may also wait for one of the
 * browser's connections.
 */
const TIMEOUT_MS = 3_000

/**
 * Polls `GET /status` until the returned function is called. The status is undefined while the edge is unreachable.
 * @param {{ onResponse: (response: Response) => void, onStatus: (status: SystemStatus | undefined) => void }} deps
 */
export function pollStatus({ onResponse, onStatus }) {
  return poll(() => fetchStatus(onResponse), onStatus, POLL_INTERVAL_MS)
}

/**
 * Shows a summary of the status in the page header.
 * @param {SystemStatus | undefined} status
 */
export function showOverall(status) {
  const isServing = status && status.status !== 'not ready'
  byId('overall', HTMLElement).dataset.state = !isServing ? 'down' : status.status === 'ready' ? 'up' : 'degraded'
  setText(byId('overall-text', HTMLElement), toText(status))
}

/**
 * @param {(response: Response) => void} onResponse
 * @returns {Promise<SystemStatus | undefined>}
 */
async function fetchStatus(onResponse) {
  try {
    const response = await fetch('/status', { signal: AbortSignal.timeout(TIMEOUT_MS) })
    onResponse(response)
    return response.ok ? await response.json() : undefined
  } catch {
    return undefined
  }
}

/** @param {SystemStatus | undefined} status */
function toText(status) {
  if (!status) return 'Edge unreachable'
  const parts = Object.entries(status.parts)
  const problems = ['down', 'degraded', 'unknown'].flatMap((problem) => {
    const names = parts.flatMap(([name, { state }]) => (state === problem ? [name] : []))
    return names.length > 0 ? [`${names.join(', ')} ${problem}`] : []
  })
  if (status.status === 'not ready') return `Not ready: ${problems.join('; ')}`
  return problems.length > 0 ? problems.join('; ') : 'All services up'
}
