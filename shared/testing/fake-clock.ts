import { onTestFinished, vi } from 'vitest'

/**
 * Stops the clock until the test advances it with `vi.advanceTimersByTimeAsync`. Unlike vitest's own fake timers, this
 * covers `AbortSignal.timeout`, and `performance.now` in code that keeps a reference to `performance`, such as
 * lru-cache.
 */
export function useFakeClock(): void {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'Date'] })
  const spies = [
    vi.spyOn(performance, 'now').mockImplementation(Date.now),
    vi.spyOn(AbortSignal, 'timeout').mockImplementation((ms) => {
      const controller = new AbortController()
      setTimeout(() => controller.abort(new DOMException('timed out', 'TimeoutError')), ms)
      return controller.signal
    }),
  ]
  onTestFinished(() => {
    for (const spy of spies) spy.mockRestore()
    vi.useRealTimers()
  })
}
