import { byId, setText } from './dom.js'

/** @typedef {import('../../shared/contracts/system-status.ts').SystemStatus} SystemStatus */

/**
 * Shows in one line how all is.
 * @param {SystemStatus | undefined} status undefined where the edge does not answer
 */
export function showOverall(status) {
  const down = Object.entries(status?.parts ?? {}).flatMap(([name, { state }]) => (state === 'down' ? [name] : []))
  const isServing = status && status.status !== 'not ready'
  byId('overall', HTMLElement).dataset.state = !isServing ? 'down' : down.length > 0 ? 'degraded' : 'up'
  setText(byId('overall-text', HTMLElement), textOn(status, down))
}

/**
 * @param {SystemStatus | undefined} status
 * @param {string[]} down
 */
function textOn(status, down) {
  if (!status) return 'The edge does not answer'
  if (status.status === 'not ready') return `Not ready: ${down.join(', ')} down`
  return down.length > 0 ? `${down.join(', ')} down` : 'All parts up'
}
