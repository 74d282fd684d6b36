import { sleep } from '../sleep.js'
import { processesOf } from './runner.js'

/** @typedef {import('./edge.js').SystemStatus} SystemStatus */

const POLL_MS = 100
/** If a view were counted twice, the next batch would count it again within this time. */
const LATE_MS = 400

/**
 * Creates the functions that wait on behalf of the tour steps. After `patienceMs`, they throw an error that says what
 * is still wrong.
 * @param {{
 *   requests: Pick<ReturnType<typeof import('./edge.js').createEdge>, 'status' | 'controls' | 'play'>,
 *   ledger: ReturnType<typeof import('./ledger.js').createLedger>,
 *   patienceMs: number,
 * }} deps `requests.play` adds the view to the ledger
 */
export function createWaits({ requests: { status, controls, play }, ledger, patienceMs }) {
  /**
   * Repeats `attempt` until it returns a value other than undefined or false.
   * @template Value
   * @param {string} problem what is still wrong, for the error message if the time runs out
   * @param {() => Promise<Value | undefined | false>} attempt
   * @returns {Promise<Value>}
   */
  async function until(problem, attempt) {
    const limit = performance.now() + patienceMs
    for (;;) {
      const value = await attempt()
      if (value !== undefined && value !== false) return value
      if (performance.now() > limit) throw new Error(`After ${patienceMs / 1_000} s, ${problem}.`)
      await sleep(POLL_MS)
    }
  }

  /**
   * Waits until reporting has counts, and returns how many views a user has. Reads the number from the response to a
   * retry of the user's last play.
   * @param {string} user
   */
  function viewsOf(user) {
    const last = ledger.of(user).at(-1)
    return until('reporting has not returned counts', async () => {
      if (!last) return 0
      return (await play(user, last)).playback?.userviews ?? undefined
    })
  }

  return {
    until,
    viewsOf,
    /** Waits until all components are up and all views are counted. */
    async untilReady() {
      /** @type {SystemStatus | undefined} */
      let last
      try {
        return await until('not everything is up', async () => {
          last = await status()
          return last?.status === 'ready' && last.audit !== null && isDrained(last) && last
        })
      } catch (error) {
        throw new Error(`${error instanceof Error ? error.message : error} ${toProblems(last)}`.trim())
      }
    },
    /**
     * Waits until a component is in the given state.
     * @param {string} component
     * @param {string} state
     */
    untilState: (component, state) =>
      until(`${component} is not ${state} yet`, async () => (await status())?.parts[component]?.state === state),
    /**
     * Waits until all of a service's processes are running.
     * @param {string} service
     */
    untilRunning: (service) =>
      until(`${service} is not running yet`, async () => {
        const own = processesOf((await controls()).processes, service)
        return own.length > 0 && own.every(({ state }) => state === 'running')
      }),
    /**
     * Waits until all of a user's views are counted.
     * @param {string} user
     * @returns {Promise<number>} the number of the user's views that reporting has counted
     */
    async untilCounted(user) {
      await until('not every view has been counted', async () => {
        await ledger.refresh()
        return ledger.of(user).every(({ state }) => state === 'counted')
      })
      await sleep(LATE_MS)
      return viewsOf(user)
    },
  }
}

/** @param {SystemStatus} status */
function isDrained({ parts }) {
  return Object.values(parts).every(({ waiting }) => !waiting)
}

/** @param {SystemStatus | undefined} status */
function toProblems(status) {
  if (!status) return 'The edge is unreachable.'
  const problems = Object.entries(status.parts).flatMap(([name, { state, waiting }]) => {
    if (state !== 'up') return [`${name} is ${state}`]
    return waiting ? [`${name} has a backlog of ${waiting}`] : []
  })
  return problems.length > 0 ? `${problems.join(', ')}.` : ''
}
