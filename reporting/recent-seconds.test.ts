import { expect, test, vi } from 'vitest'
import { View } from '../shared/contracts/view.ts'
import { useFakeClock } from '../shared/testing/fake-clock.ts'
import { createRecentSeconds } from './recent-seconds.ts'

const NOW = Date.parse('2026-11-20T21:00:00Z')
const now = NOW / 1_000

test.each([
  ['2026-11-20T21:00:00Z', 0],
  ['2026-11-20T20:59:59.999Z', -1],
  ['2026-11-20T20:59:59.999999999Z', -1],
  ['2026-11-20T22:59:30+02:00', -30],
  ['2026-11-20T15:29:58.5-05:30', -2],
  ['2026-11-20T20:55:01Z', -299],
  ['2026-11-20T21:00:05Z', 5],
])('a view of %s is counted in its second', (at, second) => {
  expect(countsOf([at])).toEqual({ [now + second]: 1 })
})

test.each(['2026-11-20T20:55:00Z', '2025-11-20T21:00:00Z', '2026-11-20T21:00:06Z', '2026-11-20T20:00:00-02:00'])(
  'a view of %s is outside the window',
  (at) => expect(countsOf([at])).toEqual({}),
)

test('consecutive views are counted in the same second, whatever their offset from UTC', () => {
  const times = ['20:59:50Z', '20:59:50+02:00', '22:59:50.5+02:00', '20:59:50.250Z', '20:59:50.1+00:00']
  expect(countsOf(times.map((time) => `2026-11-20T${time}`))).toEqual({ [now - 10]: 4 })
})

test('a time may be given in milliseconds', () => {
  useFakeClock()
  vi.setSystemTime(NOW)
  const seconds = createRecentSeconds()
  seconds.add([{ at: NOW - 1 }, { at: NOW }, { at: NOW + 999 }, { at: NOW - 300_000 }])
  expect(Object.fromEntries(seconds.counts())).toEqual({ [now - 1]: 1, [now]: 2 })
})

test('a second leaves the window after five minutes', () => {
  useFakeClock()
  vi.setSystemTime(NOW)
  const seconds = createRecentSeconds()
  seconds.add([{ at: '2026-11-20T21:00:00Z' }])
  vi.setSystemTime(NOW + 299_999)
  expect([...seconds.counts()]).toEqual([[now, 1]])
  vi.setSystemTime(NOW + 300_000)
  expect([...seconds.counts()]).toEqual([])
})

function countsOf(times: string[]) {
  useFakeClock()
  vi.setSystemTime(NOW)
  const seconds = createRecentSeconds()
  seconds.add(times.map((at) => ({ at: View.shape.at.parse(at) })))
  return Object.fromEntries(seconds.counts())
}
