import { setTimeout as sleep } from 'node:timers/promises'
import { runningTime } from './running-time.ts'

const INTERVAL_MS = 20

/**
 * Retries `attempt` until it succeeds, and returns its result.
 * @param limitMs needed only if the time limit is a requirement; the default only stops a test that hangs
 * @throws the last error after `limitMs` milliseconds, not counting machine pauses
 */
export async function eventually<Result>(attempt: () => Result | Promise<Result>, limitMs = 30_000): Promise<Result> {
  const limit = runningTime() + limitMs
  for (;;) {
    try {
      return await attempt()
    } catch (error) {
      if (runningTime() > limit) throw error
      await sleep(INTERVAL_MS)
    }
  }
}
