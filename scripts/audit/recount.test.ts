import fc from 'fast-check'
import { expect, test } from 'vitest'
import { judgeOneByOne, message, toLog } from '../../reporting/reference.test-suite.ts'
import { drawnMessage, judgeLog, toBatch, toLog as toWatchedLog } from '../../reporting/watch-reference.test-suite.ts'
import { createRecount } from './recount.ts'

test("for any log, the recount agrees with reporting's engine on every verdict", () => {
  fc.assert(
    fc.property(fc.array(message, { maxLength: 40 }), (drawn) => {
      const log = toLog(drawn)
      const { views, retried, keysReused } = judgeOneByOne(log)
      const recount = createRecount()
      for (const [n, { views, at }] of log.entries())
        recount.add({ sequence: n + 1, at: Date.parse(at), views, serials: [], rejected: 0 })
      expect(recount.verdicts.map(({ id, verdict, because }) => [id, verdict, because])).toEqual(
        views.map(({ id, verdict, because }) => [id, verdict, because?.id ?? null]),
      )
      expect(recount.totals).toMatchObject({ views: views.length, retried, rejected: keysReused })
    }),
    { numRuns: 300 },
  )
})

test('for any log under rules v2, the recount agrees with the watch-time model on every verdict', () => {
  fc.assert(
    fc.property(fc.array(drawnMessage, { maxLength: 40 }), (drawn) => {
      const log = toWatchedLog(drawn)
      const expected = judgeLog(log)
      const recount = createRecount('v2')
      for (const [n, { at }] of log.entries()) {
        const { views, watched } = toBatch(log, n, n + 1)
        recount.add({ sequence: n + 1, at: Date.parse(at), views, watched, serials: [], rejected: 0 })
      }
      expect(recount.verdicts.map(({ id, verdict, reason }) => [id, verdict, reason])).toEqual(
        expected.map(({ id, verdict, reason }) => [id, verdict, reason]),
      )
      const watchedMs = expected.reduce((sum, { watched = 0 }) => sum + watched, 0)
      expect([...recount.days.values()].reduce((sum, day) => sum + day.watchedMs, 0)).toBe(watchedMs)
      expect(recount.totals.pending).toBe(expected.filter(({ verdict }) => verdict === 'pending').length)
    }),
    { numRuns: 300 },
  )
})
