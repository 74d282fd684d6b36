import { setTimeout as sleep } from 'node:timers/promises'

const EVERY_MS = 20

/**
 * Repeats `attempt` until it returns without throwing, and returns what it returned.
 * @param limitMs after which the last error is thrown
 */
export async function eventually<Result>(attempt: () => Result | Promise<Result>, limitMs = 10_000): Promise<Result> {
  const limit = performance.now() + limitMs
  for (;;) {
    try {
      return await attempt()
    } catch (error) {
      if (performance.now() > limit) throw error
      await sleep(EVERY_MS)
    }
  }
}
