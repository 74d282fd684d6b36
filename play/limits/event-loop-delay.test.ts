import { expect, onTestFinished, test, vi } from 'vitest'
import { sampleEventLoopDelay } from './event-loop-delay.ts'

/** Returns the measured delay after event-loop turns with these durations in milliseconds. */
function delayAfter(...turns: number[]): number {
  let now = 0
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] })
  const clock = vi.spyOn(performance, 'now').mockImplementation(() => now)
  onTestFinished(() => {
    clock.mockRestore()
    vi.useRealTimers()
  })
  using delay = sampleEventLoopDelay()
  for (const ms of turns) {
    now += ms
    vi.advanceTimersToNextTimer()
  }
  return delay.ms()
}

test.each([
  ['no turn is late', [50, 51, 49, 50], 0],
  ['a single turn is late', [50, 50, 5_000, 50], 0],
  ['three turns in a row are late', [5_000, 5_000, 5_000], 0],
  ['four turns in a row are late, by at least 100 ms', [150, 250, 170, 200], 100],
  ['a turn is on time before four late ones', [50, 150, 250, 170, 200], 100],
  ['a turn is on time after four late ones', [150, 250, 170, 200, 50], 0],
])('if %s, turns of %j ms give a delay of %i ms', (_, turns, delay) => expect(delayAfter(...turns)).toBe(delay))
