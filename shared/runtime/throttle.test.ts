import { expect, test } from 'vitest'
import { eventually } from '../../tests/harness/eventually.ts'
import { createThrottle } from './throttle.ts'

test('work that was requested often is done once, and not again before its time', async () => {
  const { times, pacer } = open({ everyMs: 400 })
  const since = performance.now()
  while (times.length < 3) {
    for (let n = 0; n < 10; n += 1) pacer.request()
    await eventually(() => expect(times.length).toBeGreaterThan(0))
    await new Promise(setImmediate)
  }
  expect(Number(times[0]) - since).toBeLessThan(400)
  for (const gap of gapsOf(times)) expect(gap).toBeGreaterThan(390)
})

test('work that takes long is done more seldom: it has a tenth of the time', async () => {
  const { times, pacer } = open({ everyMs: 1, workMs: 20 })
  while (times.length < 3) {
    pacer.request()
    await new Promise(setImmediate)
  }
  for (const gap of gapsOf(times)) expect(gap).toBeGreaterThan(150)
})

test('what was requested before the stop is not done', async () => {
  const { times, pacer } = open({ everyMs: 1 })
  pacer.request()
  pacer.stop()
  const other = open({ everyMs: 1 })
  other.pacer.request()
  await eventually(() => expect(other.times).toHaveLength(1))
  expect(times).toEqual([])
})

/** Paced work that keeps the thread busy for a time. */
function open({ everyMs, workMs = 0 }: { everyMs: number; workMs?: number }) {
  const times: number[] = []
  const pacer = createThrottle(() => {
    times.push(performance.now())
    const before = process.threadCpuUsage()
    while (process.threadCpuUsage(before).user < workMs * 1_000);
  }, everyMs)
  return { times, pacer }
}

function gapsOf(times: number[]): number[] {
  return times.slice(1).map((time, n) => time - Number(times[n]))
}
