import { bearer } from '../bearer.js'
import { fetchJson } from '../fetch-json.js'
import { createKey } from '../playback/idempotency-key.js'
import { postPlay } from '../playback/post-play.js'

/** @typedef {import('../../../shared/contracts/controls.ts').Controls} Controls */
/** @typedef {import('../../../shared/contracts/system-status.ts').SystemStatus} SystemStatus */
/** @typedef {import('../../../shared/contracts/playback.ts').Playback} Playback */
/** @typedef {import('../../../shared/contracts/view-explanation.ts').ExplainedView} ExplainedView */
/**
 * `status` is 0 if there was no response. `ms`: how long the response took.
 * @typedef {{ status: number, viewId: string | null, playback: Playback | undefined, key: string, ms: number }} Played
 */

const TIMEOUT_MS = 5_000
const DEFAULT_ASSET = '456'
/** The lease must outlast any edge outage that a step causes. */
const LEASE_S = 15

/**
 * The tour's requests. They all go to play, whether the tour runs in a browser or in Node.
 * @param {string} origin of play; an empty string on the page that play serves
 * @param {() => string | undefined} token for the controls
 */
export function createEdge(origin, token) {
  const authorization = () => bearer(token())

  /**
   * @param {string} path
   * @param {RequestInit} init
   */
  function request(path, init) {
    return fetch(`${origin}${path}`, { signal: AbortSignal.timeout(TIMEOUT_MS), cache: 'no-store', ...init })
  }

  /**
   * @param {string} path
   * @param {Record<string, string>} [headers]
   */
  function readJson(path, headers = {}) {
    return fetchJson(`${origin}${path}`, { timeoutMs: TIMEOUT_MS, cache: 'no-store', headers })
  }

  return {
    asset: DEFAULT_ASSET,
    /**
     * Plays an asset as a user. Each play has an idempotency key; a play that reuses a key is a retry.
     * @param {string} user
     * @param {{ asset?: string, key?: string }} [options]
     * @returns {Promise<Played>}
     */
    async play(user, { asset = DEFAULT_ASSET, key = createKey() } = {}) {
      const url = `${origin}/play/asset/${asset}/user/${user}`
      const { status, viewId, playback, ms } = await postPlay(url, { 'idempotency-key': key })
      return { status, viewId, playback, key, ms: Math.round(ms) }
    },
    /**
     * @param {string} viewId
     * @returns {Promise<ExplainedView | undefined>} undefined if there is no explanation at the moment
     */
    explain: (viewId) => readJson(`/views/${encodeURIComponent(viewId)}`),
    /** @returns {Promise<SystemStatus | undefined>} undefined while the edge is unreachable */
    status: () => readJson('/status'),
    /** @returns {Promise<Controls>} */
    async controls() {
      const controls = await readJson('/controls', authorization())
      return controls ?? { state: 'off', reason: 'The edge is unreachable.', can: [], processes: [], commands: {} }
    },
    /**
     * Reserves the system for a step, or extends the reservation. Without controls, no step can break anything,
     * so every reservation is granted.
     * @param {string} holder this tour's id
     * @param {string} step
     * @param {number} [seconds] 0 ends the reservation
     * @returns {Promise<{ granted: boolean, step: string } | undefined>} undefined while the edge is unreachable
     */
    async lease(holder, step, seconds = LEASE_S) {
      const path = `/controls/tour?holder=${holder}&step=${step}&seconds=${seconds}`
      try {
        // `keepalive` lets the request outlive a page that is being closed.
        const response = await request(path, { method: 'POST', headers: authorization(), keepalive: true })
        return response.ok ? await response.json() : { granted: true, step }
      } catch {
        return undefined
      }
    },
    /**
     * Invokes a control, such as `reporting/kill?seconds=3`.
     * @param {string} path
     * @returns {Promise<any>} the response body
     * @throws {Error} if the control is refused
     */
    async control(path) {
      const response = await request(`/controls/${path}`, { method: 'POST', headers: authorization() })
      const body = await response.json().catch(() => ({}))
      if (response.ok) return body
      const [error] = body.errors ?? []
      throw new Error(`The control ${path.replace(/\?.*/, '')} was refused: ${error?.message ?? response.status}.`)
    },
  }
}
