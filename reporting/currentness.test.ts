import { describe, expect, test } from 'vitest'
import { createCurrentness, onceLoaded } from './currentness.ts'

const MAX_LAG_MS = 10_000

test('counts that are not fed by a log are current', () => {
  const { counting, wait } = setUp({ isFedByLog: false })
  wait(60_000)
  expect(counting()).toEqual({ state: 'current', progress: 1 })
})

test('counts that are still loading are not current, even if they are not fed by a log', () => {
  let id: string | undefined
  const { isCurrent, counting } = onceLoaded(createCurrentness({ maxLagMs: MAX_LAG_MS, isFedByLog: false }), {
    id: () => id,
  })
  expect([isCurrent(), counting()]).toEqual([false, { state: 'replaying', progress: 0 }])
  id = 'store'
  expect([isCurrent(), counting()]).toEqual([true, { state: 'current', progress: 1, store: 'store' }])
})

test('counts that are fed by a log are not current until the end of the log is known', () => {
  const { counting, wait } = setUp()
  wait(60_000)
  expect(counting()).toEqual({ state: 'unknown', progress: 0 })
})

test('counts of an empty log are current immediately', () => {
  const { counting, observe } = setUp()
  observe(0, 0)
  expect(counting()).toEqual({ state: 'current', progress: 1 })
})

test('counts are in state `replaying` once a log feeds them, even if no log was configured', () => {
  const { counting, observe } = setUp({ isFedByLog: false })
  observe(10, 100)
  expect(counting()).toEqual({ state: 'replaying', progress: 0.1 })
})

test('counts are not current during a replay, however fast it is', () => {
  const { counting, observe, wait } = setUp()
  for (const counted of [100, 400, 999]) {
    observe(counted, 1_000)
    wait(5)
    expect(counting()).toEqual({ state: 'replaying', progress: counted / 1_000 })
  }
  observe(1_000, 1_000)
  expect(counting().state).toBe('current')
})

test('a replay under load ends once the lag is below a second, although the log keeps growing', () => {
  const { counting, observe, wait } = setUp()
  observe(0, 10_000)
  wait(3_000)
  observe(10_000, 10_500)
  expect(counting().state).toBe('replaying')
  wait(200)
  observe(10_500, 10_600)
  expect(counting().state).toBe('current')
})

describe('counts that were current', () => {
  test('stay current under steady load', () => {
    const { counting, observe, wait } = setUp()
    observe(0, 0)
    for (let n = 1; n < 1_000; n += 1) {
      wait(100)
      observe(n * 10, n * 10 + 15)
      expect(counting().state).toBe('current')
    }
  })

  test('are behind once the lag exceeds the maximum, until it drops below a second', () => {
    const { counting, observe, wait } = setUp()
    observe(10, 10)
    for (let n = 0; n < 20; n += 1) {
      expect(counting().state).toBe('current')
      observe(10, 20 + n)
      wait(500)
    }
    expect(counting()).toEqual({ state: 'behind', progress: 10 / 39 })
    observe(30, 40)
    wait(5_000)
    observe(40, 80)
    expect(counting().state).toBe('behind')
    wait(100)
    observe(80, 80)
    expect(counting().state).toBe('current')
  })

  test('are in state `unknown` once reports stop, and have to catch up when reports resume', () => {
    const { counting, observe, wait } = setUp()
    observe(10, 10)
    wait(MAX_LAG_MS - 1)
    expect(counting().state).toBe('current')
    wait(1)
    expect(counting().state).toBe('unknown')
    observe(10, 1_000)
    expect(counting()).toEqual({ state: 'behind', progress: 0.01 })
    observe(1_000, 1_000)
    expect(counting().state).toBe('current')
  })

  test('stay current at first when the log is recreated', () => {
    const { observe, counting } = setUp({ incarnation: 'old' })
    observe(10, 10)
    observe(10, 5, { incarnation: 'new' })
    expect(counting().state).toBe('current')
  })
})

describe('the age of the oldest message', () => {
  const old = () => new Date(Date.now() - 60_000).toISOString()

  test('marks the counts as behind before the measured lag exceeds the maximum', () => {
    const { counting, observe, wait } = setUp()
    observe(10, 10)
    observe(10, 20)
    wait(2_000)
    observe(10, 20, { oldest: old() })
    expect(counting().state).toBe('behind')
  })

  test('is ignored while the counts keep up, because it may come from an incorrect clock', () => {
    const { counting, observe, wait } = setUp()
    observe(10, 10)
    for (let n = 11; n < 100; n += 1) {
      wait(100)
      observe(n, n + 1, { oldest: old() })
      expect(counting().state).toBe('current')
    }
  })
})

test('the counts are served if a queue-listener from the previous release does not report the end of the log', () => {
  const { counting, observe } = setUp()
  observe(10, undefined)
  expect(counting().state).toBe('current')
})

test("a report's age includes the time since another instance received it", () => {
  const { counting, observe, wait } = setUp()
  observe(0, 0, {}, 8_000)
  wait(1_999)
  expect(counting().state).toBe('current')
  wait(1)
  expect(counting().state).toBe('unknown')
  observe(0, 0, {}, 10_000)
  expect(counting().state).toBe('unknown')
})

function setUp({ isFedByLog = true, incarnation = 's' } = {}) {
  let now = 1_000_000
  const currentness = createCurrentness({ maxLagMs: MAX_LAG_MS, isFedByLog, now: () => now })
  return {
    counting: currentness.counting,
    observe(
      counted: number,
      end: number | undefined,
      batch: { incarnation?: string; oldest?: string } = {},
      ageMs = 0,
    ) {
      currentness.observe({ incarnation, end, ...batch }, { incarnation, sequence: counted }, ageMs)
    },
    wait(ms: number) {
      now += ms
    },
  }
}
