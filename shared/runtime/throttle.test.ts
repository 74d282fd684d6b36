import { expect, test } from 'vitest'
import { eventually } from '../../tests/harness/eventually.ts'
import { createThrottle } from './throttle.ts'

test('requests are coalesced, and the work runs at most once per interval', async () => {
  const { times, throttle } = setUp({ everyMs: 400 })
  const start = performance.now()
  while (times.length < 3) {
    for (let n = 0; n < 10; n += 1) throttle.request()
    await eventually(() => expect(times.length).toBeGreaterThan(0))
    await new Promise(setImmediate)
  }
  expect(Number(times[0]) - start).toBeLessThan(400)
  for (const gap of gapsOf(times)) expect(gap).toBeGreaterThan(390)
})

test('expensive work uses at most a tenth of a core', async () => {
  const { times, cpuMs, throttle } = setUp({ everyMs: 1, workMs: 20 })
  while (times.length < 3) {
    throttle.request()
    await new Promise(setImmediate)
  }
  for (const [n, gap] of gapsOf(times).entries()) {
    expect(gap).toBeGreaterThan(9.5 * Number(cpuMs[n]))
    expect(gap).toBeGreaterThan(150)
  }
})

test('work that reschedules itself waits for the interval', async () => {
  const times: number[] = []
  const throttle = createThrottle(() => {
    times.push(performance.now())
    if (times.length < 3) throttle.request()
  }, 100)
  throttle.request()
  await eventually(() => expect(times).toHaveLength(3))
  for (const gap of gapsOf(times)) expect(gap).toBeGreaterThan(95)
})

test('cancelled work does not run, and can be requested again', async () => {
  const { times, throttle } = setUp({ everyMs: 1 })
  throttle.request()
  throttle.cancel()
  const other = setUp({ everyMs: 1 })
  other.throttle.request()
  await eventually(() => expect(other.times).toHaveLength(1))
  expect(times).toEqual([])
  throttle.request()
  await eventually(() => expect(times).toHaveLength(1))
})

/** Throttled work that blocks the thread for `workMs`. */
function setUp({ everyMs, workMs = 0 }: { everyMs: number; workMs?: number }) {
  const times: number[] = []
  const cpuMs: number[] = []
  const throttle = createThrottle(() => {
    times.push(performance.now())
    const before = process.threadCpuUsage()
    while (process.threadCpuUsage(before).user < workMs * 1_000);
    const { user, system } = process.threadCpuUsage(before)
    cpuMs.push((user + system) / 1_000)
  }, everyMs)
  return { times, cpuMs, throttle }
}

function gapsOf(times: number[]): number[] {
  return times.slice(1).map((time, n) => time - Number(times[n]))
}
