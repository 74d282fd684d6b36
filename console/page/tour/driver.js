import { createEdge } from './edge.js'
import { createLedger } from './ledger.js'
import { NEEDS_TOKENS, processesOf, SkippedError } from './runner.js'
import { createWaits } from './waits.js'

/** @typedef {ReturnType<typeof createDriver>} Driver */

/**
 * Creates the functions with which the tour steps play, apply controls and wait, in a browser or in Node.
 * @param {{
 *   edge: string,
 *   token?: () => string | undefined,
 *   outageSeconds: number,
 *   patienceMs?: number,
 *   onNote?: (text: string) => void,
 * }} options `edge`: play's origin, or an empty string on the page that play serves. `outageSeconds`: how long an
 * outage lasts. `patienceMs`: how long to wait for a view to be counted, or for a recovery
 */
export function createDriver({ edge, token = () => undefined, outageSeconds, patienceMs = 20_000, onNote = () => {} }) {
  const requests = createEdge(edge, token)
  const { controls, control } = requests
  const run = Math.random().toString(36).slice(2, 8)
  const ledger = createLedger(requests.explain)

  /** @type {typeof requests.play} */
  async function play(user, options) {
    const played = await requests.play(user, options)
    const { viewId, key } = played
    if (viewId !== null) ledger.add({ viewId, user, asset: options?.asset ?? requests.asset, key })
    return played
  }

  const waits = createWaits({ requests: { ...requests, play }, ledger, patienceMs })

  return {
    ...requests,
    ...waits,
    play,
    ledger,
    outageSeconds,
    patienceMs,
    note: onNote,
    /**
     * Waits until the system is ready for a step.
     * @throws {SkippedError} if plays require a user token
     */
    async prepare() {
      const { parts } = await waits.untilReady()
      if (parts.identity) throw new SkippedError(NEEDS_TOKENS)
    },
    /** @param {string} step */
    newUser: (step) => `tour-${run}-${step}`,
    /**
     * Applies a control to all of a service's processes.
     * @param {string} service
     * @param {string} action such as `kill?seconds=3`
     */
    async controlAll(service, action) {
      const { processes } = await controls()
      await Promise.all(processesOf(processes, service).map(({ name }) => control(`${name}/${action}`)))
    },
  }
}
