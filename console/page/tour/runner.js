/** @typedef {import('../../../shared/contracts/controls.ts').Controls} Controls */
/** @typedef {import('./driver.js').Driver} Driver */
/** @typedef {{ text: string, isRight?: boolean, reason: string }} Option `reason`: why the option is right or wrong */
/** @typedef {{ label: string, value: number, of: number }} Bar a number and its expected value */
/** @typedef {{ ok: boolean, sentence: string, facts: [label: string, value: string][], bars?: Bar[] }} Verdict */
/** @typedef {Verdict & { outcome: 'passed' | 'failed' | 'skipped' }} Result `skipped`: the sentence says why */
/**
 * A tour step. `run` causes the fault and takes measurements, `check` judges them, and `undo` restores the system,
 * whether or not the step passed. `user` has played nothing before the step. `needs` lists the controls that the step
 * uses. `kills` lists the services that npm start must run, so that the step can kill them. `action` is the button's
 * text, and `command` is the equivalent terminal command: `{edge}` stands for the edge's address, and `{reporting}` for
 * reporting's pid.
 * @template Facts
 * @template [Used=Driver] the part of the driver that the step uses
 * @typedef {{
 *   id: string,
 *   title: string,
 *   minutes: string,
 *   intro: string[],
 *   action: string,
 *   command?: string,
 *   predict: { question: string, options: Option[] },
 *   needs?: string[],
 *   kills?: string[],
 *   run(stage: Used & { user: string }): Promise<Facts>,
 *   check(facts: Facts): Verdict,
 *   undo?(stage: Used & { user: string }, passed: boolean): Promise<unknown>,
 * }} Step
 */

export const NEEDS_TOKENS = 'Plays require a user token here. To take the tour, start the system without AUTH_JWKS_URL.'

/** Thrown by a step that cannot run on this system. The message says why. */
export class SkippedError extends Error {
  /** @param {string} message */
  constructor(message) {
    super(message)
    this.name = 'SkippedError'
  }
}

/**
 * Runs a step from start to verdict, and restores the system.
 * @template {Pick<Driver, 'controls' | 'status' | 'newUser' | 'prepare' | 'untilReady'>} Used
 * @param {Pick<Step<unknown, Used>, 'id' | 'needs' | 'kills' | 'run' | 'check' | 'undo'>} step
 * @param {Used} driver
 * @returns {Promise<Result>} never rejects
 */
export async function runStep(step, driver) {
  const reason = whyUnavailable(step, await driver.controls()) ?? whyRefused(await driver.status())
  if (reason !== undefined) return { outcome: 'skipped', ok: false, sentence: reason, facts: [] }
  const stage = { ...driver, user: driver.newUser(step.id) }
  /** @type {Result} */
  let result
  try {
    await driver.prepare()
    const verdict = step.check(await step.run(stage))
    result = { ...verdict, outcome: verdict.ok ? 'passed' : 'failed' }
  } catch (error) {
    const sentence = error instanceof Error ? error.message : String(error)
    result = { outcome: error instanceof SkippedError ? 'skipped' : 'failed', ok: false, sentence, facts: [] }
  }
  try {
    await step.undo?.(stage, result.outcome === 'passed')
    await driver.untilReady()
    return result
  } catch (error) {
    const sentence = `${result.sentence} The system did not recover: ${error instanceof Error ? error.message : error}`
    return { ...result, ok: false, outcome: 'failed', sentence }
  }
}

/**
 * Returns the reason why a step cannot run here; undefined if it can.
 * @param {Pick<Step<unknown>, 'needs' | 'kills'>} step
 * @param {Controls} controls
 */
export function whyUnavailable({ needs = [], kills = [] }, { state, reason, can, processes }) {
  const missingAbility = needs.find((ability) => !can.includes(ability))
  if (missingAbility !== undefined && state !== 'on') return reason ?? 'There are no controls.'
  const unknown = kills.find((name) => processesOf(processes, name).length === 0)
  if (unknown !== undefined) return `npm start does not run ${unknown} here, so the tour cannot kill it.`
  if (missingAbility !== undefined)
    return WITHOUT[missingAbility] ?? `This system does not offer the control ${missingAbility}.`
  return undefined
}

/**
 * Returns the reason why the tour's plays would be refused; undefined if they would be accepted.
 * @param {Awaited<ReturnType<Driver['status']>>} status
 */
function whyRefused(status) {
  return status?.parts.identity && NEEDS_TOKENS
}

/** @type {Record<string, string>} */
const WITHOUT = {
  replay: 'Counts can be replayed only if they are in memory, and if nothing expires from the log.',
  expire: 'npm start has no signing key for a CDN, so it cannot expire a URL.',
}

/**
 * A service's processes, such as `nats-1` for `nats`.
 * @template {{ name: string }} Process
 * @param {Process[]} processes
 * @param {string} service
 */
export function processesOf(processes, service) {
  return processes.filter(({ name }) => name.replace(/-\d+$/, '') === service)
}
