import { pino } from 'pino'
import { expect, test } from 'vitest'
import { createTransitionLog } from './transition-log.ts'

function setUp() {
  const lines: object[] = []
  const log = pino({ base: null, timestamp: false }, { write: (line) => lines.push(JSON.parse(line)) })
  return { lines, report: createTransitionLog(log, { failing: 'failing', recovered: 'recovered' }) }
}

const failing = (reason: string) => ({ level: 40, reason, msg: 'failing' })
const recovered = { level: 30, msg: 'recovered' }

test('only transitions are logged', () => {
  const { lines, report } = setUp()
  for (let n = 0; n < 3; n += 1) report()
  expect(lines).toEqual([])
  report(new Error('first', { cause: new Error('cause') }))
  report(new Error('second'))
  expect(lines).toEqual([failing('first: cause')])
  report()
  report()
  expect(lines).toEqual([failing('first: cause'), recovered])
  report(new Error('third'))
  report()
  expect(lines).toEqual([failing('first: cause'), recovered, failing('third'), recovered])
})

test('an error that is not an instance of Error counts as a failure', () => {
  const { lines, report } = setUp()
  report(null)
  report('text')
  expect(lines).toEqual([failing('null')])
})
