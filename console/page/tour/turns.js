import { sleep } from '../sleep.js'
import { steps } from './steps.js'

/** @typedef {import('./driver.js').Driver} Driver */

const RENEW_MS = 2_000
const POLL_MS = 500

/**
 * Runs a step only while no other tour on this system is running a step. `npm start` grants a lease, which expires if
 * this tour is killed.
 * @param {Pick<Driver, 'lease' | 'patienceMs'>} driver
 * @param {(text: string) => void} onWait called when another tour is in the middle of a step
 */
export function createTurns({ lease, patienceMs }, onWait) {
  const holder = Math.random().toString(36).slice(2)
  /** @type {string | undefined} */
  let running

  /** @param {string} step */
  async function take(step) {
    const limit = performance.now() + patienceMs
    let isWaiting = false
    for (;;) {
      const reply = await lease(holder, step)
      // Another tour may have killed the edge. If the edge stays unreachable, the step itself reports that.
      if (reply ? reply.granted : performance.now() > limit) return
      if (reply && !isWaiting) {
        onWait(
          `Another tour is running the step “${titleOf(reply.step)}”. This step will start when that step has ended.`,
        )
        isWaiting = true
      }
      await sleep(POLL_MS)
    }
  }

  async function release() {
    if (running !== undefined) await lease(holder, running, 0)
  }

  return {
    /**
     * @template Result
     * @param {string} step
     * @param {() => Promise<Result>} work
     */
    async run(step, work) {
      await take(step)
      running = step
      /** @type {Promise<unknown> | undefined} */
      let renewal
      const timer = setInterval(() => {
        renewal = lease(holder, step)
      }, RENEW_MS)
      try {
        return await work()
      } finally {
        clearInterval(timer)
        // Wait for the last renewal, because it must not arrive after the release.
        await renewal
        await release()
        running = undefined
      }
    },
    /** Call this when the page closes, so that other tours can start at once. */
    release,
  }
}

/** @param {string} step */
function titleOf(step) {
  return steps.find(({ id }) => id === step)?.title ?? step
}
