import fc from 'fast-check'
import { expect, test } from 'vitest'
import { PAGE_RECORDS } from '../../shared/records/record-page.ts'
import { createJudge, type Judge } from './judge.ts'
import type { Judged } from './judged-events.ts'
import type { ViewRule } from './view-rule.ts'

const WINDOW_MS = 30
/** Disqualifies a user's third event in the window. */
const third: ViewRule = {
  name: 'third',
  key: ['userId'],
  windowMs: WINDOW_MS,
  keeps: 2,
  judge: (earlier) => (earlier.length === 2 ? earlier[0] : undefined),
  describe: () => 'a test says so',
}
/** Disqualifies the next event for the same asset. */
const next: ViewRule = {
  ...third,
  name: 'next',
  key: ['assetId'],
  windowMs: 10,
  keeps: 1,
  judge: ([last]) => last,
}

const step = fc.record({
  after: fc.nat(12),
  userId: fc.constantFrom('u', 'v', 'w'),
  assetId: fc.nat(8).map(String),
  restart: fc.nat(9).map((n) => n === 0),
})

test('the rules remember the last events in the window, even after a restore', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80, size: 'max' }), (steps) => {
      const log: Judged[] = []
      let judge = createJudge([third, next])
      let clock = 0
      for (const [n, { after, restart, ...play }] of steps.entries()) {
        clock += after
        if (restart) {
          const known = judge.known()
          judge = createJudge([third, next])
          for (const { rule, events } of known) {
            for (const encoded of events.encoded(PAGE_RECORDS)) judge.restoreEncoded(Buffer.from(encoded), rule)
          }
        }
        const event = { ...play, id: `${n}`, at: n }
        expect(judge.judge(event, clock)).toEqual(judgeAll(log, event, clock))
        log.push({ event, clock })
      }
    }),
  )
})

test.each([1, PAGE_RECORDS - 1, PAGE_RECORDS, PAGE_RECORDS + 1, 3 * PAGE_RECORDS - 1])(
  'a judge with %i restored events continues like the original, and forgets the same events',
  (size) => {
    const rule = { ...third, windowMs: size }
    const [original, restored] = [createJudge([rule]), createJudge([rule])]
    const judge = (target: Judge, n: number) =>
      target.judge({ id: `${n}`, assetId: 'a', userId: `user-${(n * n) % 997}`, at: n }, n)
    for (let n = 0; n < size; n += 1) judge(original, n)
    for (const { rule, events } of original.known()) {
      expect(events.length).toBe(size)
      for (const encoded of events.encoded(PAGE_RECORDS)) restored.restoreEncoded(Buffer.from(encoded), rule)
    }
    for (let n = size; n < 3 * size; n += 1) expect(judge(restored, n)).toEqual(judge(original, n))
    const known = ({ known }: Judge) => known().flatMap(({ events }) => [...events])
    expect(known(restored)).toEqual(known(original))
  },
)

/** Judges an event against the whole log, without forgetting any earlier event. */
function judgeAll(log: readonly Judged[], event: Judged['event'], clock: number) {
  for (const rule of [third, next]) {
    const earlier = log
      .filter((judged) => rule.key.every((field) => judged.event[field] === event[field]))
      .filter((judged) => clock - judged.clock <= rule.windowMs)
      .slice(-rule.keeps)
    const because = rule.judge(
      earlier.map(({ event }) => event),
      event,
    )
    if (because) return { verdict: 'not-qualified', reason: rule.name, because }
  }
  return { verdict: 'qualified' }
}

test('events that no rule needs anymore are forgotten', () => {
  const judge = createJudge([third])
  for (let n = 0; n < 1_000; n += 1) judge.judge({ id: `${n}`, assetId: 'a', userId: `user-${n}`, at: n }, n)
  const clocks = judge.known().flatMap(({ events }) => Array.from(events, ({ clock }) => clock))
  expect(clocks.slice(-WINDOW_MS - 1)).toEqual(Array.from({ length: WINDOW_MS + 1 }, (_, n) => 999 - WINDOW_MS + n))
  expect(clocks.length).toBeLessThanOrEqual(2 * WINDOW_MS + 2)
})
