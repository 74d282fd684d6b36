import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { UpstreamError } from '../shared/client/service-client.ts'
import type { EventLog } from '../shared/event-log/event-log.ts'
import { sleep } from '../shared/runtime/sleep.ts'
import { eventually } from '../tests/harness/eventually.ts'
import { createFakeReporting, type ForwardingTest, openForwarding } from '../tests/harness/forwarding.ts'

const STANDING_BY = 'another instance is active; standing by'
const FAILING = 'cannot report the end of the log; retrying'
const RECOVERED = 'end-of-log reports succeed again'

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
  test('immediately and then repeatedly, with the position', async () => {
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

  test('by a standby, which may be the only instance left', async () => {
    const reporting = createFakeReporting()
    await append('first')
    reporting.beforeCount = ({ incarnation }) => reporting.advance(incarnation)
    listen(reporting, { checkMs: 60_000 })
    await eventually(() => expect(logged).toEqual([STANDING_BY]))
    const { length } = reporting.reports
    await eventually(() => expect(reporting.reports.length).toBeGreaterThan(length + 3))
    expect(reporting.reports.at(-1)).toEqual({ end: await eventLog.end(), counted: 1, oldest: undefined })
  })

  test("unless the log was rolled back past reporting's position", async () => {
    const reporting = createFakeReporting()
    await append('a')
    reporting.at = { ...(await eventLog.end()), sequence: 7 }
    listen(reporting)
    await eventually(() => expect(reporting.attempts.length).toBeGreaterThan(5))
    expect(reporting.reports).toEqual([])
  })
})

describe('a report that fails', () => {
  test.each([
    ['wrong token', new UpstreamError('returned 401 instead of 200', { status: 401 })],
    ['down', new UpstreamError('reporting: POST /events failed')],
  ])('is logged once, and so is the recovery (%s)', async (_, error) => {
    const reporting = createFakeReporting()
    const { report } = reporting
    let failures = 0
    reporting.report = () => {
      failures += 1
      return Promise.reject(error)
    }
    listen(reporting)
    await eventually(() => expect(failures).toBeGreaterThan(3))
    expect(logged).toEqual([FAILING])
    reporting.report = report
    await eventually(() => expect(logged).toEqual([FAILING, RECOVERED]))
  })

  test('is not logged if the next report succeeds', async () => {
    const reporting = createFakeReporting()
    const { report } = reporting
    reporting.report = () => {
      reporting.report = report
      return Promise.reject(new UpstreamError('reporting: POST /events failed'))
    }
    listen(reporting)
    await eventually(() => expect(reporting.reports.length).toBeGreaterThan(2))
    expect(logged).toEqual([])
  })

  test('because the backlog cannot be read is logged, but counting continues', async () => {
    const reporting = createFakeReporting()
    await append('a')
    const fail = () => Promise.reject(new Error('the log is slow'))
    listen(reporting, { eventLog: { ...eventLog, backlog: fail } })
    await eventually(() => expect(logged).toEqual([FAILING]))
    expect(reporting.counted).toEqual(['a'])
  })

  test('is retried soon, unless reporting refuses it', async () => {
    const reporting = createFakeReporting()
    let status = 503
    let failures = 0
    reporting.report = () => {
      failures += 1
      return Promise.reject(new UpstreamError(`returned ${status}`, { status }))
    }
    listen(reporting, { checkMs: 60_000 })
    await eventually(() => expect(failures).toBeGreaterThan(2))
    status = 401
    const before = failures
    await eventually(() => expect(failures).toBe(before + 1))
    await sleep(300)
    expect(failures).toBe(before + 1)
  })

  test('is not logged while the other services may still be starting', async () => {
    const reporting = createFakeReporting()
    let failures = 0
    reporting.report = () => {
      failures += 1
      return Promise.reject(new UpstreamError('reporting: POST /events failed'))
    }
    listen(reporting, { coldStartMs: 60_000 })
    await eventually(() => expect(failures).toBeGreaterThan(3))
    expect(logged).toEqual([])
  })
})
