import type { Logger } from './log.ts'
import { toReason } from './reason.ts'

/** Reports the outcome of an attempt: the error, or nothing on success. */
export type TransitionLog = (error?: unknown) => void

/** Logs state transitions only: `failing` when attempts begin to fail, `recovered` when they succeed again. */
export function createTransitionLog(log: Logger, messages: { failing: string; recovered: string }): TransitionLog {
  let isFailing = false
  return (error) => {
    if (error !== undefined && !isFailing) log.warn({ reason: toReason(error) }, messages.failing)
    if (error === undefined && isFailing) log.info(messages.recovered)
    isFailing = error !== undefined
  }
}
