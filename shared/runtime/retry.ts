import { ExponentialBackoff, halfJitterGenerator } from 'cockatiel'
import { sleep } from './sleep.ts'

type RetryOptions = {
  signal: AbortSignal
  /** Called after each failed attempt, with the error and the delay before the next attempt in milliseconds. */
  onFailure?: (error: unknown, delayMs: number) => void
  initialMs?: number
  maxMs?: number
}

/**
 * Calls `work` until it resolves or `signal` aborts. Delays grow exponentially from `initialMs` to `maxMs`, with half
 * jitter: each delay is random, between half the backoff and the full backoff
 * (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/).
 *
 * `work` receives a function that resets the backoff, for an attempt that made progress before it failed.
 * @returns undefined if `signal` aborted
 */
export async function retry<Result>(
  work: (resetBackoff: () => void) => Promise<Result>,
  { signal, onFailure, initialMs = 100, maxMs = 1_000 }: RetryOptions,
): Promise<Result | undefined> {
  const generator = halfJitterGenerator
  const backoff = new ExponentialBackoff({ generator, initialDelay: initialMs, maxDelay: maxMs })
  let delay = backoff.next()
  const resetBackoff = () => {
    delay = backoff.next()
  }
  while (!signal.aborted) {
    try {
      return await work(resetBackoff)
    } catch (error) {
      if (signal.aborted) break
      onFailure?.(error, delay.duration)
      await sleep(delay.duration, signal)
      delay = delay.next(undefined)
    }
  }
  return undefined
}
