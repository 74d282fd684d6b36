import { setTimeout as sleep } from 'node:timers/promises'

const INTERVAL_MS = 20

/**
 * Repeats `attempt` until it does not throw, and returns its result.
 * @throws the last error, after `limitMs` milliseconds
 */
export async function eventually<Result>(attempt: () => Result | Promise<Result>, limitMs = 10_000): Promise<Result> {
  const limit = performance.now() + limitMs
  for (;;) {
    try {
      return await attempt()
    } catch (error) {
      if (performance.now() > limit) throw error
      await sleep(INTERVAL_MS)
    }
  }
}
