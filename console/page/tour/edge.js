import { createKey } from '../playback/idempotency-key.js'

/** @typedef {import('../../../shared/contracts/controls.ts').Controls} Controls */
/** @typedef {import('../../../shared/contracts/system-status.ts').SystemStatus} SystemStatus */
/** @typedef {import('../../../shared/contracts/playback.ts').Playback} Playback */
/** @typedef {import('../../../shared/contracts/view-explanation.ts').ExplainedView} ExplainedView */
/**
 * `status` is 0 without a response. `ms`: how long the response took.
 * @typedef {{ status: number, viewId: string | null, playback: Playback | undefined, key: string, ms: number }} Played
 */

const TIMEOUT_MS = 5_000
const DEFAULT_ASSET = '456'
/** The lease must last longer than any step keeps the edge down. */
const LEASE_S = 15

/**
 * The requests of the tour. All requests go to play, in a browser and in Node.
 * @param {string} origin of play; an empty string on the page that play serves
 * @param {() => string | undefined} token of the controls
 */
export function createEdge(origin, token) {
  /** @returns {Record<string, string>} */
  function authorization() {
    const current = token()
    return current === undefined ? {} : { authorization: `Bearer ${current}` }
  }

  /**
   * @param {string} path
   * @param {RequestInit} [init]
   */
  function request(path, init) {
    return fetch(`${origin}${path}`, { signal: AbortSignal.timeout(TIMEOUT_MS), cache: 'no-store', ...init })
  }

  /**
   * @param {string} path
   * @param {RequestInit} [init]
   * @returns {Promise<unknown>} undefined unless the response is 200
   */
  async function readJson(path, init) {
    try {
      const response = await request(path, init)
      return response.ok ? await response.json() : undefined
    } catch {
      return undefined
    }
  }

  return {
    asset: DEFAULT_ASSET,
    /**
     * Plays an asset as a user. Each play has an idempotency key; a play with an earlier key is a retry.
     * @param {string} user
     * @param {{ asset?: string, key?: string }} [options]
     * @returns {Promise<Played>}
     */
    async play(user, { asset = DEFAULT_ASSET, key = createKey() } = {}) {
      const startedAt = performance.now()
      /** @param {Pick<Played, 'status' | 'viewId' | 'playback'>} outcome */
      const toPlayed = (outcome) => ({ ...outcome, key, ms: Math.round(performance.now() - startedAt) })
      try {
        const init = { method: 'POST', headers: { 'idempotency-key': key } }
        const response = await request(`/play/asset/${asset}/user/${user}`, init)
        const { status } = response
        const playback = response.ok ? await response.json() : undefined
        return toPlayed({ status, viewId: response.headers.get('view-id'), playback })
      } catch {
        return toPlayed({ status: 0, viewId: null, playback: undefined })
      }
    },
    /**
     * @param {string} viewId
     * @returns {Promise<ExplainedView | undefined>} undefined if it is unknown at the moment
     */
    async explain(viewId) {
      const view = await readJson(`/views/${encodeURIComponent(viewId)}`)
      return /** @type {ExplainedView | undefined} */ (view)
    },
    /** @returns {Promise<SystemStatus | undefined>} undefined while the edge is unreachable */
    async status() {
      return /** @type {SystemStatus | undefined} */ (await readJson('/status'))
    },
    /** @returns {Promise<Controls>} */
    async controls() {
      const read = /** @type {Controls | undefined} */ (await readJson('/controls', { headers: authorization() }))
      return read ?? { state: 'off', reason: 'The edge is unreachable.', can: [], processes: [], commands: {} }
    },
    /**
     * Reserves the system for a step, or extends the reservation. Without controls, no step breaks anything, so
     * each step is granted.
     * @param {string} holder the id of this tour
     * @param {string} step
     * @param {number} [seconds] 0 ends the reservation
     * @returns {Promise<{ granted: boolean, step: string } | undefined>} undefined while the edge is unreachable
     */
    async lease(holder, step, seconds = LEASE_S) {
      const path = `/controls/tour?holder=${holder}&step=${step}&seconds=${seconds}`
      try {
        // `keepalive` also sends the last request of a page that is being closed.
        const response = await request(path, { method: 'POST', headers: authorization(), keepalive: true })
        return response.ok ? await response.json() : { granted: true, step }
      } catch {
        return undefined
      }
    },
    /**
     * Uses a control, such as `reporting/kill?seconds=3`.
     * @param {string} path
     * @returns {Promise<any>} the body of the response
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
