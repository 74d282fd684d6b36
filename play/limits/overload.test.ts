import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { isRefused, type Load, nextLevel, PRIORITIES } from './overload.ts'

const idle = { inFlight: 0, delayMs: 0 }
const refused = (level: number) => PRIORITIES.filter((priority) => isRefused(priority, level))

describe.each([
  ['plays in flight', [500, 750, 1_000, 2_000, 4_000], (inFlight: number): Load => ({ ...idle, inFlight })],
  ['event-loop delay', [150, 200, 250, 500], (delayMs: number): Load => ({ ...idle, delayMs })],
] as const)('with rising %s', (_, starts, toLoad) => {
  test('each priority is refused as soon as the load reaches its threshold, lowest priority first', () => {
    for (const [index, start] of starts.entries()) {
      expect(refused(nextLevel(0, toLoad(start - 1)))).toEqual(PRIORITIES.slice(0, index))
      expect(refused(nextLevel(0, toLoad(start)))).toEqual(PRIORITIES.slice(0, index + 1))
    }
  })
})

test('plays are refused only if too many are in flight, however late the event loop is', () => {
  expect(refused(nextLevel(0, { inFlight: 3_999, delayMs: 60_000 }))).toEqual([
    'console',
    'reads',
    'prefetch',
    'watched',
  ])
})

test('refused priorities are admitted again, in reverse order, only well below their thresholds', () => {
  let level = 0
  const levels = [4_000, 3_999, 1_000, 999, 500, 499, 375, 374, 250, 249].map((inFlight) => {
    level = nextLevel(level, { ...idle, inFlight })
    return level
  })
  expect(levels).toEqual([5, 4, 4, 3, 3, 2, 2, 1, 1, 0])
})

test('a priority is admitted again only if both the plays in flight and the delay are low', () => {
  expect(nextLevel(3, { inFlight: 0, delayMs: 100 })).toBe(3)
  expect(nextLevel(3, { inFlight: 500, delayMs: 0 })).toBe(3)
  expect(nextLevel(3, { inFlight: 499, delayMs: 99 })).toBe(2)
})

test('a higher load never refuses fewer priorities, and the level is stable under a constant load', () => {
  const load = fc.record({ inFlight: fc.integer({ min: 0, max: 5_000 }), delayMs: fc.integer({ min: 0, max: 300 }) })
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 5 }), load, load, (level, one, other) => {
      const more = { inFlight: one.inFlight + other.inFlight, delayMs: one.delayMs + other.delayMs }
      const next = nextLevel(level, one)
      expect(nextLevel(level, more)).toBeGreaterThanOrEqual(next)
      expect(nextLevel(next, one)).toBe(next)
    }),
  )
})
