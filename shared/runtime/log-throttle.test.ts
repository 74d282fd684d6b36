import { expect, test, vi } from 'vitest'
import { useFakeClock } from '../testing/fake-clock.ts'
import { createLogThrottle } from './log-throttle.ts'

test('a line is due once per interval, with the number of events since the last line', async () => {
  useFakeClock()
  const throttle = createLogThrottle(500)
  expect([throttle('a'), throttle('a'), throttle('a')]).toEqual([1, undefined, undefined])
  await vi.advanceTimersByTimeAsync(499)
  expect(throttle('a')).toBeUndefined()
  await vi.advanceTimersByTimeAsync(1)
  expect([throttle('a'), throttle('a')]).toEqual([4, undefined])
  await vi.advanceTimersByTimeAsync(500)
  expect(throttle('a')).toBe(2)
  await vi.advanceTimersByTimeAsync(5_000)
  expect(throttle('a')).toBe(1)
})

test('each key is throttled separately', () => {
  useFakeClock()
  const throttle = createLogThrottle()
  expect([throttle('a'), throttle('b'), throttle('a'), throttle('b')]).toEqual([1, 1, undefined, undefined])
})

test('the default interval is a second', async () => {
  useFakeClock()
  const throttle = createLogThrottle()
  throttle('a')
  await vi.advanceTimersByTimeAsync(999)
  expect(throttle('a')).toBeUndefined()
  await vi.advanceTimersByTimeAsync(1)
  expect(throttle('a')).toBe(2)
})
