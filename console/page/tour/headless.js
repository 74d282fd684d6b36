import { createDriver } from './driver.js'
import { toIdentity } from './ledger.js'
import { runStep } from './runner.js'
import { steps } from './steps.js'
import { createTurns } from './turns.js'

/** @typedef {import('./runner.js').Result & { id: string, title: string, identity: string }} TourResult */

/** The ids of all steps, in order. */
export const stepIds = steps.map(({ id }) => id)

/**
 * Runs the tour's steps one after another. Yields each step's result, and the ledger's sum after the step as a line of
 * text (`identity`).
 * @param {{
 *   edge: string,
 *   token?: string | undefined,
 *   ids: readonly string[],
 *   outageSeconds: number,
 *   patienceMs: number,
 *   onNote: (text: string) => void,
 *   onWait: (text: string) => void,
 * }} options
 * @returns {AsyncGenerator<TourResult>}
 */
export async function* runTour({ ids, token, onWait, ...options }) {
  const driver = createDriver({ ...options, token: () => token })
  const turns = createTurns(driver, onWait)
  for (const step of steps.filter(({ id }) => ids.includes(id))) {
    const result = await turns.run(step.id, () => runStep(step, driver))
    await driver.ledger.refresh()
    yield { id: step.id, title: step.title, ...result, identity: toIdentity(driver.ledger.sum()) }
  }
}
