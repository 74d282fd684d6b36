import { afterEach, expect, test, vi } from 'vitest'
import { toLastTime } from './page/history/times.js'

afterEach(() => vi.unstubAllEnvs())

// In Berlin, clocks go back from 03:00 to 02:00 on 2026-10-25, and forward from 02:00 to 03:00 on 2026-03-29.
test.each([
  { text: '12:30', now: '2026-10-25T08:00:00+01:00', at: '2026-10-24T12:30:00+02:00' },
  { text: '23:15:10', now: '2026-03-29T20:00:00+02:00', at: '2026-03-28T23:15:10+01:00' },
  { text: '08:00', now: '2026-11-20T08:00:00+01:00', at: '2026-11-20T08:00:00+01:00' },
  { text: '08:01', now: '2026-11-01T08:00:00+01:00', at: '2026-10-31T08:01:00+01:00' },
])('at $now in Berlin, clocks last showed $text at $at', ({ text, now, at }) => {
  vi.stubEnv('TZ', 'Europe/Berlin')
  expect(toLastTime(text, Date.parse(now))).toBe(Date.parse(at))
})
