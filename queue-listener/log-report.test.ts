import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { EventLog } from '../shared/event-log/event-log.ts'
import { eventually } from '../tests/harness/eventually.ts'
import { createFakeReporting, type ForwardingTest, openForwarding } from '../tests/harness/forwarding.ts'

const STANDING_BY = 'another instance is active; standing by'

let setUp: ForwardingTest
let eventLog: EventLog
let append: ForwardingTest['append']
let listen: ForwardingTest['listen']
let logged: string[]

beforeEach(() => {
  setUp = openForwarding()
  ;({ eventLog, append, listen, logged } = setUp)
})
afterEach(() => setUp[Symbol.asyncDispose]())

describe('the end of the log is reported', () => {
  test('at once and again, with the position', async () => {
    const reporting = createFakeReporting()
    await append('a', 'b')
    const end = await eventLog.end()
    listen(reporting)
    await eventually(() => expect(reporting.reports.at(-1)).toEqual({ end, counted: 2, oldest: undefined }))
    const { length } = reporting.reports
    await eventually(() => expect(reporting.reports.length).toBeGreaterThan(length + 3))
  })

  test('while batches fail, with the time of the oldest message that is not counted', async () => {
    const reporting = createFakeReporting()
    reporting.beforeCount = () => {
      throw new Error('reporting cannot count')
    }
    const before = Date.now()
    await append('a', 'b')
    const end = await eventLog.end()
    listen(reporting)
    const oldest = expect.any(Date)
    await eventually(() => expect(reporting.reports.at(-1)).toEqual({ end, counted: 0, oldest }))
    expect(Number(reporting.reports.at(-1)?.oldest)).toBeGreaterThanOrEqual(before)
  })

  test('by a standby, which may be the only one that is left', async () => {
    const reporting = createFakeReporting()
    await append('first')
    reporting.beforeCount = ({ incarnation }) => reporting.advance(incarnation)
    listen(reporting, { checkMs: 60_000 })
    await eventually(() => expect(logged).toEqual([STANDING_BY]))
    const { length } = reporting.reports
    await eventually(() => expect(reporting.reports.length).toBeGreaterThan(length + 3))
    expect(reporting.reports.at(-1)).toEqual({ end: await eventLog.end(), counted: 1, oldest: undefined })
  })

  test('never of a log that was rolled back behind the position', async () => {
    const reporting = createFakeReporting()
    await append('a')
    reporting.at = { ...(await eventLog.end()), sequence: 7 }
    listen(reporting)
    await eventually(() => expect(reporting.attempts.length).toBeGreaterThan(5))
    expect(reporting.reports).toEqual([])
  })
})
