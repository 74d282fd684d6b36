import { expect, test } from 'vitest'
import { createStallDetector } from './stall.ts'

test('the state is unknown before the first measurement', () => {
  expect(setUp().state()).toBe('unknown')
})

test('counting stalls when nothing is counted for 5 s while messages wait', () => {
  const { measure, state, forwarding } = setUp()
  measure(10, 0)
  measure(10, 3)
  for (let n = 0; n < 8; n += 1) measure(10, 3)
  expect(state()).toBe('running')
  measure(10, 4)
  measure(10, 5)
  expect(forwarding()).toEqual({ state: 'stalled', waiting: 5 })
  measure(15, 0)
  expect(forwarding()).toEqual({ state: 'running', waiting: 0 })
})

test('counting is stalled if the log grows faster than it is counted', () => {
  const { measure, state } = setUp()
  for (let n = 0; n < 30; n += 1) measure(n * 10, n * 100)
  expect(state()).toBe('stalled')
})

test('counting is stalled if the log grows faster than it is counted, even if each batch shrinks the backlog', () => {
  const { measure, state } = setUp()
  for (let n = 0; n < 60; n += 1) {
    measure(n * 10, n * 100 + (n % 3) * 500)
    if (n > 15) expect(state()).toBe('stalled')
  }
})

test('a replay is not a stall, because its backlog shrinks', () => {
  const { measure, state } = setUp()
  for (let n = 0; n < 60; n += 1) {
    measure(n * 100, 1_000_000 - n * 100)
    expect(state()).toBe('running')
  }
})

test('a replay after an idle period is not a stall while its backlog shrinks', () => {
  const { measure, state } = setUp()
  for (let n = 0; n < 10; n += 1) measure(1_000_000, 0)
  for (let n = 0; n < 20; n += 1) {
    measure(n * 50_000, 1_000_000 - n * 50_000)
    expect(state()).toBe('running')
  }
})

test('an outbox that is drained after an idle period does not cause a stall while the backlog shrinks', () => {
  const { measure, state } = setUp()
  for (let n = 0; n < 10; n += 1) measure(0, 0)
  for (let n = 1; n <= 4; n += 1) measure(n * 10, n * 1_000)
  for (let n = 1; n <= 60; n += 1) {
    measure(40 + n * 10, 4_000 - n * 10)
    expect(state()).toBe('running')
  }
})

test('counting stalls when a replay stops', () => {
  const { measure, state } = setUp()
  measure(1_000, 0)
  for (let n = 0; n < 20; n += 1) measure(n * 10, 1_000 - n * 10)
  for (let n = 0; n < 10; n += 1) {
    expect(state()).toBe('running')
    measure(200, 800)
  }
  measure(200, 800)
  expect(state()).toBe('stalled')
})

test('steady load is not a stall: no messages count as waiting, although some are always in flight', () => {
  const { measure, forwarding } = setUp()
  measure(0, 0)
  for (let n = 1; n < 60; n += 1) {
    measure(n * 1_000, 5 + (n % 3))
    expect(forwarding()).toEqual({ state: 'running', waiting: 0 })
  }
})

test('an idle log is not a stall', () => {
  const { measure, state } = setUp()
  for (let n = 0; n < 30; n += 1) measure(10, 0)
  expect(state()).toBe('running')
})

/** A detector that measures every half second. */
function setUp() {
  let now = 0
  const { observe, forwarding } = createStallDetector(() => now)
  return {
    forwarding,
    state: () => forwarding().state,
    measure(counted: number, messages: number) {
      observe(counted, messages)
      now += 500
    },
  }
}
