import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createCounters, type FrozenCounters } from './counters.ts'

const COUNTERS = 3_000

const addition = fc.record({ index: fc.nat({ max: COUNTERS - 1 }), amount: fc.nat({ max: 3 }) })
const step = fc.oneof({ weight: 20, arbitrary: addition }, { weight: 1, arbitrary: fc.constant('freeze' as const) })

test('a snapshot does not change when the counters change later', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 300, size: 'max' }), (steps) => {
      const counters = createCounters()
      const model = new Map<number, number>()
      const snapshots: { frozen: FrozenCounters; expected: Map<number, number> }[] = []
      for (const step of steps) {
        if (step === 'freeze') {
          snapshots.push({ frozen: counters.freeze(), expected: new Map(model) })
          continue
        }
        const { index, amount } = step
        model.set(index, (model.get(index) ?? 0) + amount)
        expect(counters.add(index, amount)).toBe(model.get(index))
      }
      for (const { frozen, expected } of [...snapshots, { frozen: counters.freeze(), expected: model }]) {
        for (let index = 0; index < COUNTERS; index += 1) expect(frozen.get(index)).toBe(expected.get(index) ?? 0)
        expect(frozen.positive).toBe([...expected.values()].filter((value) => value > 0).length)
      }
    }),
    { numRuns: 100 },
  )
})

test('a counter that returns to 0 is not positive', () => {
  const counters = createCounters()
  counters.add(7, 2)
  counters.add(7, -2)
  expect(counters.freeze().positive).toBe(0)
  expect(counters.get(7)).toBe(0)
})

test('a counter holds 2^53 - 1', () => {
  const counters = createCounters()
  expect(counters.add(0, Number.MAX_SAFE_INTEGER)).toBe(Number.MAX_SAFE_INTEGER)
})
