import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import fc from 'fast-check'
import { expect, test, vi } from 'vitest'
import { useFakeClock } from '../../shared/testing/fake-clock.ts'
import { createGcra, type Rate } from './gcra.ts'

const advance = (ms: number) => vi.advanceTimersByTime(ms)

/** A continuously refilled token bucket, to which GCRA is equivalent. Levels are integers: tokens times periodMs. */
function createModel({ count, periodMs }: Rate) {
  const full = count * periodMs
  const buckets = new Map<string, { level: number; at: number }>()
  return (key: string, now: number) => {
    const { level, at } = buckets.get(key) ?? { level: full, at: now }
    const refilled = Math.min(full, level + (now - at) * count)
    const allowed = refilled >= periodMs
    const left = allowed ? refilled - periodMs : refilled
    buckets.set(key, { level: left, at: now })
    const waitMs = (allowed ? full - left : periodMs - left) / count
    return { allowed, remaining: Math.floor(left / periodMs), waitMs }
  }
}

const rates = fc.record({ count: fc.integer({ min: 1, max: 50 }), periodMs: fc.integer({ min: 1, max: 5_000 }) })
const key = fc.constantFrom('a', 'b', 'c')
/** A step of whole emission intervals hits a boundary. With `ms`, a step misses the boundary by a millisecond. */
const steps = fc.record({ key, intervals: fc.integer({ min: 0, max: 3 }), ms: fc.integer({ min: -1, max: 1 }) })

test('every decision equals that of a token bucket per key', () => {
  useFakeClock()
  fc.assert(
    fc.property(rates, fc.array(steps, { maxLength: 100 }), (rate, requests) => {
      const [take, model] = [createGcra(rate), createModel(rate)]
      const decisions = requests.map(({ key, intervals, ms }) => {
        advance(Math.max(0, Math.ceil((intervals * rate.periodMs) / rate.count) + ms))
        return [take(key), model(key, performance.now())]
      })
      expect(decisions.map(([decision]) => decision)).toEqual(decisions.map(([, expected]) => expected))
    }),
  )
})

test('a burst of the whole count is allowed, and the next request is allowed exactly when the wait is over', () => {
  useFakeClock()
  const take = createGcra({ count: 3, periodMs: 1_000 })
  expect([take('a'), take('a'), take('a')].map(({ remaining }) => remaining)).toEqual([2, 1, 0])
  const { allowed, waitMs } = take('a')
  expect([allowed, waitMs]).toEqual([false, 1_000 / 3])
  advance(333)
  expect(take('a')).toMatchObject({ allowed: false })
  advance(1)
  expect(take('a')).toMatchObject({ allowed: true, remaining: 0 })
  expect(take('a')).toMatchObject({ allowed: false })
})

test('refused requests do not extend the wait', () => {
  useFakeClock()
  const take = createGcra({ count: 1, periodMs: 1_000 })
  take('a')
  for (let ms = 0; ms < 999; ms += 1) {
    advance(1)
    expect(take('a')).toEqual({ allowed: false, remaining: 0, waitMs: 999 - ms })
  }
  advance(1)
  expect(take('a').allowed).toBe(true)
})

test('after one burst, only the average rate is allowed', () => {
  useFakeClock()
  const take = createGcra({ count: 60, periodMs: 60_000 })
  let allowed = 0
  for (let second = 0; second < 600; second += 1) {
    for (let n = 0; n < 10; n += 1) if (take('a').allowed) allowed += 1
    advance(1_000)
  }
  expect(allowed).toBe(60 + 599)
})

test('beyond the maximum number of keys, the least recently used key is evicted', () => {
  useFakeClock()
  const take = createGcra({ count: 1, periodMs: 60_000 }, 2)
  for (const key of ['a', 'b', 'a', 'c']) take(key)
  expect(['a', 'c', 'b'].map((key) => take(key).allowed)).toEqual([false, false, true])
})

test('100,000 keys take a bounded amount of memory, even if each key is a slice of a long URL', () => {
  setFlagsFromString('--expose-gc')
  const gc: () => void = runInNewContext('gc')
  const take = createGcra({ count: 60, periodMs: 60_000 })
  const heapUsed = () => {
    gc()
    return process.memoryUsage().heapUsed
  }
  const before = heapUsed()
  for (let n = 0; n < 150_000; n += 1) {
    const url = Buffer.from(`/play/asset/456/user/flooding-user-${n}?${'x'.repeat(1_000)}`).toString()
    take(url.slice(21, url.indexOf('?')))
  }
  expect(heapUsed() - before).toBeLessThan(20 * 2 ** 20)
  expect(take('flooding-user-149999').remaining).toBe(58)
})
