import { onTestFinished, vi } from 'vitest'

/**
 * Stops the clock until the test moves it with `vi.advanceTimersByTimeAsync`. Two things follow that vitest's own fake
 * leaves alone: `AbortSignal.timeout`, and `performance.now` for who holds on to the object, as lru-cache does.
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
