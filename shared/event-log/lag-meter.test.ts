import { expect, test } from 'vitest'
import { createLagMeter } from './lag-meter.ts'

test('the lag is infinite until the reader reaches the first observed end of the log', () => {
  const { lag, at } = setUp()
  at(0, 10, 100)
  at(500, 99, 200)
  expect(lag()).toBe(Number.POSITIVE_INFINITY)
  at(800, 100, 200)
  expect(lag()).toBe(800)
})

test('the lag is zero once everything is counted', () => {
  const { lag, at } = setUp()
  at(0, 10, 10)
  expect(lag()).toBe(0)
})

test('the lag grows while the reader makes no progress, even if the log does not grow', () => {
  const { lag, at } = setUp()
  at(0, 10, 10)
  at(1_000, 10, 11)
  at(3_000, 10, 11)
  expect(lag()).toBe(2_000)
  at(4_000, 10, 50)
  expect(lag()).toBe(3_000)
})

test('a reader that is always a second behind has a lag of a second', () => {
  const { lag, at } = setUp()
  at(0, 0, 0)
  for (let ms = 100; ms <= 5_000; ms += 100) at(ms, Math.max(0, ms - 1_000), ms)
  expect(lag()).toBe(1_000)
})

function setUp() {
  let now = 0
  const meter = createLagMeter(() => now)
  return {
    lag: meter.lagMs,
    at(ms: number, counted: number, end: number) {
      now = ms
      meter.observe(counted, end)
    },
  }
}
