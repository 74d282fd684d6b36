import { setTimeout as delay } from 'node:timers/promises'
import { afterEach, expect, test, vi } from 'vitest'
import { eventually } from '../../tests/harness/eventually.ts'
import { runningTime } from '../../tests/harness/running-time.ts'
import { retry } from './retry.ts'

const never = new AbortController().signal
afterEach(() => {
  vi.restoreAllMocks()
  vi.useRealTimers()
})

test('retry returns the result of the first successful attempt', async () => {
  const failures: unknown[] = []
  let attempts = 0
  const work = async () => {
    attempts += 1
    if (attempts < 4) throw new Error(`attempt ${attempts}`)
    return 'done'
  }
  const onFailure = (error: unknown) => failures.push(error)
  expect(await retry(work, { signal: never, initialMs: 1, onFailure })).toBe('done')
  expect(attempts).toBe(4)
  expect(failures).toMatchObject([{ message: 'attempt 1' }, { message: 'attempt 2' }, { message: 'attempt 3' }])
})

test('delays double up to a maximum', async () => {
  vi.spyOn(Math, 'random').mockReturnValue(1)
  expect(await delaysOf(6, { initialMs: 2, maxMs: 20 })).toEqual([2, 4, 8, 16, 20, 20])
})

test('by default, the first delay is up to 100 ms, and the maximum is a second', async () => {
  vi.spyOn(Math, 'random').mockReturnValue(1)
  vi.useFakeTimers()
  const delays = delaysOf(6)
  await vi.runAllTimersAsync()
  expect(await delays).toEqual([100, 200, 400, 800, 1_000, 1_000])
})

test('each delay is random, between half the backoff and the full backoff', async () => {
  const first = await Promise.all(Array.from({ length: 50 }, () => delaysOf(1, { initialMs: 100, maxMs: 100 })))
  const delays = first.flat()
  expect(new Set(delays).size).toBeGreaterThan(15)
  for (const ms of delays) {
    expect(ms).toBeGreaterThanOrEqual(50)
    expect(ms).toBeLessThan(100)
  }
})

test('each retry waits for the delay passed to onFailure', async () => {
  vi.spyOn(Math, 'random').mockReturnValue(0.5)
  const times: number[] = []
  const delays: number[] = []
  await retry(
    async () => {
      times.push(performance.now())
      if (times.length < 4) throw new Error('broken')
    },
    { signal: never, initialMs: 20, maxMs: 100, onFailure: (_, ms) => delays.push(ms) },
  )
  // Node truncates delays to whole milliseconds, and its timers may be a millisecond early.
  for (const [n, ms] of delays.entries()) {
    expect(Number(times[n + 1]) - Number(times[n])).toBeGreaterThanOrEqual(Math.floor(ms) - 1)
  }
})

test('progress resets the backoff', async () => {
  vi.spyOn(Math, 'random').mockReturnValue(0.5)
  const delays: number[] = []
  let attempts = 0
  await retry(
    async (resetBackoff) => {
      attempts += 1
      if (attempts === 4) resetBackoff()
      if (attempts > 5) return
      throw new Error('broken')
    },
    { signal: never, initialMs: 1, onFailure: (_, ms) => delays.push(ms) },
  )
  const [first, second, third, afterReset, last] = delays
  expect(third).toBeGreaterThan(Number(second))
  expect([afterReset, last]).toEqual([first, second])
})

test('an abort ends the wait immediately, without another attempt', async () => {
  const stop = new AbortController()
  const onFailure = vi.fn()
  const work = vi.fn(() => Promise.reject(new Error('broken')))
  const retrying = retry(work, { signal: stop.signal, initialMs: 60_000, maxMs: 60_000, onFailure })
  await eventually(() => expect(onFailure).toHaveBeenCalledTimes(1))
  const abortedAt = runningTime()
  stop.abort()
  expect(await retrying).toBeUndefined()
  expect(runningTime() - abortedAt).toBeLessThan(1_000)
  expect(work).toHaveBeenCalledTimes(1)
})

test('a failure after the abort is not reported', async () => {
  const stop = new AbortController()
  const onFailure = vi.fn()
  const work = async () => {
    await delay(5)
    stop.abort()
    throw new Error('aborted')
  }
  expect(await retry(work, { signal: stop.signal, onFailure })).toBeUndefined()
  expect(onFailure).not.toHaveBeenCalled()
})

test('nothing is attempted once the signal has aborted', async () => {
  const work = vi.fn(() => Promise.resolve('done'))
  expect(await retry(work, { signal: AbortSignal.abort() })).toBeUndefined()
  expect(work).not.toHaveBeenCalled()
})

/** The delays after the first `count` attempts, all of which fail. Does not wait for the last delay. */
async function delaysOf(count: number, limits: { initialMs?: number; maxMs?: number } = {}): Promise<number[]> {
  const stop = new AbortController()
  const delays: number[] = []
  await retry(() => Promise.reject(new Error('broken')), {
    signal: stop.signal,
    ...limits,
    onFailure(_, ms) {
      delays.push(ms)
      if (delays.length === count) stop.abort()
    },
  })
  return delays
}
