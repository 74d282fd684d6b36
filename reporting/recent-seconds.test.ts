import { expect, test, vi } from 'vitest'
import { useFakeClock } from '../shared/testing/fake-clock.ts'
import { createRecentSeconds } from './recent-seconds.ts'

const NOW = Date.parse('2026-11-20T21:00:00Z')
const now = NOW / 1_000

test.each([
  [0, 0],
  [999, 0],
  [-1, -1],
  [-1_001, -2],
  [-299_000, -299],
  [5_999, 5],
])('a view %i ms from now is counted in second %i', (ms, second) => {
  expect(countsOf([ms])).toEqual({ [now + second]: 1 })
})

test.each([-299_001, -31_536_000_000, 6_000])('a view %i ms from now is outside the window', (ms) =>
  expect(countsOf([ms])).toEqual({}),
)

test('views in the same second are summed, in any order', () => {
  expect(countsOf([-10_000, 0, -9_001, -9_500])).toEqual({ [now - 10]: 3, [now]: 1 })
})

test('a second leaves the window after five minutes', () => {
  useFakeClock()
  vi.setSystemTime(NOW)
  const seconds = createRecentSeconds()
  seconds.add([{ at: NOW }])
  vi.setSystemTime(NOW + 299_999)
  expect([...seconds.counts()]).toEqual([[now, 1]])
  vi.setSystemTime(NOW + 300_000)
  expect([...seconds.counts()]).toEqual([])
})

/** @param times in milliseconds relative to now */
function countsOf(times: number[]) {
  useFakeClock()
  vi.setSystemTime(NOW)
  const seconds = createRecentSeconds()
  seconds.add(times.map((ms) => ({ at: NOW + ms })))
  return Object.fromEntries(seconds.counts())
}
