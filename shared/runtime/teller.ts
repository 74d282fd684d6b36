import type { Logger } from './log.ts'
import { reasonOf } from './reason.ts'

/** Logs when something begins to fail, and when it works again, but not each time in between. */
export function createTeller(log: Logger, fails: string, works: string): (error?: Error) => void {
  let failing = false
  return (error) => {
    if (error && !failing) log.warn({ reason: reasonOf(error) }, fails)
    if (!error && failing) log.info(works)
    failing = error !== undefined
  }
}
