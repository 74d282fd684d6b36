import fc from 'fast-check'
import { expect, test } from 'vitest'
import { judgeOneByOne, message, toLog } from '../../reporting/reference.test-suite.ts'
import { createRecount } from './recount.ts'

test('the recount and the engine of reporting agree on every verdict of any log', () => {
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
