import { pino } from 'pino'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { EventLog } from '../shared/event-log/event-log.ts'
import { createJetStreamEventLog } from '../shared/event-log/jetstream-event-log.ts'
import { openNatsLink } from '../shared/nats/link.ts'
import { eventually } from '../tests/harness/eventually.ts'
import {
  createFakeReporting,
  type FakeReporting,
  type ForwardingTest,
  openForwarding,
} from '../tests/harness/forwarding.ts'
import { natsVersion, startNatsServer } from '../tests/harness/nats-server.ts'

const STANDING_BY = 'another instance is active; standing by'
const TAKING_OVER = 'the active instance has stalled; taking over'

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

describe('a standby', () => {
  test('takes over from an active instance that has stopped', async () => {
    const reporting = createFakeReporting()
    const first = new AbortController()
    listen(reporting, {}, first)
    listen(reporting)
    const ids = Array.from({ length: 50 }, (_, index) => `view-${index}`)
    for (const id of ids) await append(id)
    await eventually(() => expect(reporting.counted).toEqual(ids))
    expect(reporting.rejected).toBeLessThan(5)
    first.abort()
    await append('last')
    await eventually(() => expect(reporting.counted).toEqual([...ids, 'last']))
  })

  test('sends no batches while the active instance makes progress, and takes over when that instance stalls', async () => {
    const reporting = createFakeReporting()
    await standBy(reporting)
    for (let n = 0; n < 20; n += 1) await append(`view-${n}`)
    const { incarnation } = await eventLog.end()
    let steps = 0
    reporting.beforePosition = () => {
      if (steps >= 10) return
      steps += 1
      reporting.advance(incarnation)
    }
    await eventually(() => expect(steps).toBe(10))
    expect([reporting.rejected, logged]).toEqual([1, [STANDING_BY]])
    await eventually(() => expect(reporting.counted).toHaveLength(10))
    expect(logged).toEqual([STANDING_BY, TAKING_OVER])
    expect(reporting.at).toEqual(await eventLog.end())
  })

  test('does not take over while the position stalls at the end of the log', async () => {
    const reporting = createFakeReporting()
    await standBy(reporting)
    const before = reporting.attempts.length
    await eventually(() => expect(reporting.attempts.length).toBeGreaterThan(before + 5))
    expect([reporting.rejected, logged]).toEqual([1, [STANDING_BY]])
    await append('last')
    await eventually(() => expect(reporting.counted).toEqual(['last']))
    expect(logged).toEqual([STANDING_BY, TAKING_OVER])
  })

  test('reports the current position of reporting, not the position at which it became a standby', async () => {
    const reporting = createFakeReporting()
    await append('first')
    reporting.beforeCount = ({ incarnation }) => reporting.advance(incarnation)
    listen(reporting)
    await eventually(() => expect(logged).toEqual([STANDING_BY]))
    for (let n = 0; n < 5; n += 1) await append(`view-${n}`)
    const end = await eventLog.end()
    reporting.at = end
    const current = { end, counted: 6, oldest: undefined }
    await eventually(() => expect(reporting.reports.at(-1)).toEqual(current))
    const { length } = reporting.reports
    await eventually(() => expect(reporting.reports.length).toBeGreaterThan(length + 5))
    expect(new Set(reporting.reports.slice(length).map(({ counted }) => counted))).toEqual(new Set([6]))
  })

  test('takes over when reporting counts an earlier incarnation of the log and stalls', async () => {
    const reporting = createFakeReporting()
    await standBy(reporting)
    reporting.at = { incarnation: '2026-01-01T00:00:00Z', sequence: 1_000 }
    await eventually(() => expect(logged.slice(0, 2)).toEqual([STANDING_BY, TAKING_OVER]))
  })

  test('does not take over while the active instance keeps moving on to new incarnations of the log', async () => {
    const reporting = createFakeReporting()
    await standBy(reporting)
    await append('last')
    let steps = 0
    reporting.beforePosition = () => {
      steps += 1
      reporting.at = { incarnation: `log-${steps}`, sequence: 1 }
    }
    await eventually(() => expect(steps).toBeGreaterThan(5))
    expect([reporting.rejected, logged]).toEqual([1, [STANDING_BY]])
  })

  test('checks the position at most once per interval', async () => {
    const reporting = createFakeReporting()
    await standBy(reporting, 100)
    const before = reporting.attempts.length
    await eventually(() => expect(reporting.attempts.length).toBeGreaterThan(before + 3))
    const [first = 0, ...others] = reporting.attempts.slice(before)
    for (const [index, time] of others.entries()) expect(time - first).toBeGreaterThan((index + 1) * 95)
  })

  /** Starts an instance that loses the race for the first batch to another instance. */
  async function standBy(reporting: FakeReporting, standbyMs = 30): Promise<void> {
    await append('first')
    reporting.beforeCount = ({ incarnation }) => reporting.advance(incarnation)
    listen(reporting, { standbyMs, checkMs: 60_000 })
    await eventually(() => expect(logged).toEqual([STANDING_BY]))
    reporting.beforeCount = () => undefined
  }
})

describe.skipIf(!natsVersion)('a standby on a JetStream log', () => {
  test('does not take over while the log ends with dead letters, which are never counted', async () => {
    await using nats = await startNatsServer()
    const log = pino({ level: 'silent' })
    await using link = openNatsLink({ servers: [nats.url], name: 'test', log })
    await link.up(AbortSignal.timeout(5_000))
    await using forwarding = openForwarding(createJetStreamEventLog({ nats: link, log }))
    const reporting = createFakeReporting()
    await forwarding.append('first')
    reporting.beforeCount = ({ incarnation }) => reporting.advance(incarnation)
    forwarding.listen(reporting)
    await eventually(() => expect(forwarding.logged).toEqual([STANDING_BY]))
    reporting.beforeCount = () => undefined
    await forwarding.eventLog.reject(1, 'reporting refused it')
    expect((await forwarding.eventLog.end()).sequence).toBe(2)
    const { length } = reporting.reports
    await eventually(() => expect(reporting.reports.length).toBeGreaterThan(length + 5))
    expect(forwarding.logged).toEqual([STANDING_BY])
    await forwarding.append('last')
    await eventually(() => expect(forwarding.logged).toEqual([STANDING_BY, TAKING_OVER]))
  })
})
