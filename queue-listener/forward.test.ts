import { pino } from 'pino'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import type { LogPosition } from '../shared/contracts/position.ts'
import type { View } from '../shared/contracts/view.ts'
import { emptyBatch } from '../shared/event-log/batch-builder.ts'
import type { EventLog, LogBatch, Producer } from '../shared/event-log/event-log.ts'
import { createSqliteEventLog } from '../shared/event-log/sqlite-event-log.ts'
import { sleep } from '../shared/runtime/sleep.ts'
import { eventually } from '../tests/harness/eventually.ts'
import { forward } from './forward.ts'
import type { LogReport, ReportingClient } from './reporting-client.ts'

const STANDING_BY = 'another instance is active; standing by'
const TAKING_OVER = 'the active instance has stalled; taking over'
const INTERRUPTED = 'forwarding interrupted; retrying'

let eventLog: EventLog
let producer: Producer
let stop: AbortController
let forwarding: Promise<void>[]
let logged: string[]

beforeEach(() => {
  eventLog = createSqliteEventLog({ file: ':memory:', log: pino({ level: 'silent' }) })
  producer = eventLog.producer('/test')
  stop = new AbortController()
  forwarding = []
  logged = []
})
afterEach(async () => {
  vi.restoreAllMocks()
  stop.abort()
  await Promise.all(forwarding)
  await eventLog[Symbol.asyncDispose]()
})

test('every view in the log is counted exactly once, as the log grows', async () => {
  const reporting = createFakeReporting()
  await append('a', 'b')
  listen(reporting)
  await eventually(() => expect(reporting.counted).toEqual(['a', 'b']))
  await append('c')
  await eventually(() => expect(reporting.counted).toEqual(['a', 'b', 'c']))
})

test('forwarding starts at the position of reporting', async () => {
  const reporting = createFakeReporting()
  await append('a')
  reporting.at = await eventLog.end()
  await append('b')
  listen(reporting)
  await eventually(() => expect(reporting.counted).toEqual(['b']))
})

test('counted batches are reported, rejected ones are not', async () => {
  const reporting = createFakeReporting()
  const forwarded: LogBatch[] = []
  reporting.rejectsAll = { incarnation: 'another', sequence: 7 }
  await append('a')
  listen(reporting, { onForwarded: (batch) => forwarded.push(batch) })
  await eventually(() => expect(reporting.rejected).toBeGreaterThan(0))
  expect(forwarded).toEqual([])
  reporting.rejectsAll = undefined
  await eventually(() => expect(forwarded.flatMap(({ views }) => views.map(({ id }) => id))).toEqual(['a']))
})

test('reporting receives the views once it is back up', async () => {
  const reporting = createFakeReporting()
  reporting.isDown = true
  await append('a')
  listen(reporting)
  await eventually(() => expect(reporting.attempts.length).toBeGreaterThan(1))
  reporting.isDown = false
  await eventually(() => expect(reporting.counted).toEqual(['a']))
})

test('a batch whose response was lost is counted exactly once', async () => {
  const reporting = createFakeReporting()
  reporting.losesResponses = true
  await append('a')
  listen(reporting)
  await eventually(() => expect(reporting.counted).toEqual(['a']))
  reporting.losesResponses = false
  await append('b')
  await eventually(() => expect(reporting.counted).toEqual(['a', 'b']))
})

test('the log is replayed if reporting lost its counts, even without traffic', async () => {
  const reporting = createFakeReporting()
  await append('a', 'b')
  listen(reporting)
  await eventually(() => expect(reporting.counted).toEqual(['a', 'b']))
  reporting.restart()
  await eventually(() => expect(reporting.counted).toEqual(['a', 'b']))
  expect(logged).toEqual([])
})

test('the log is replayed immediately if reporting lost its counts and rejects the next batch', async () => {
  const reporting = createFakeReporting()
  await append('a')
  listen(reporting, { checkMs: 60_000, standbyMs: 60_000 })
  await eventually(() => expect(reporting.counted).toEqual(['a']))
  reporting.restart()
  await append('b')
  await eventually(() => expect(reporting.counted).toEqual(['a', 'b']))
  expect(logged).toEqual([])
})

test('reading continues while reporting keeps its position', async () => {
  const reporting = createFakeReporting()
  const read = vi.spyOn(eventLog, 'read')
  await append('a')
  listen(reporting)
  await eventually(() => expect(reporting.counted).toEqual(['a']))
  const before = reporting.attempts.length
  await eventually(() => expect(reporting.attempts.length).toBeGreaterThan(before + 3))
  expect(read).toHaveBeenCalledTimes(1)
})

describe('the end of the log is reported', () => {
  test('immediately and repeatedly, with the position', async () => {
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

  test('by a standby as well, because the active instance may have died', async () => {
    const reporting = createFakeReporting()
    await append('first')
    reporting.beforeCount = ({ incarnation }) => reporting.advance(incarnation)
    listen(reporting, { checkMs: 60_000 })
    await eventually(() => expect(logged).toEqual([STANDING_BY]))
    const { length } = reporting.reports
    await eventually(() => expect(reporting.reports.length).toBeGreaterThan(length + 3))
    expect(reporting.reports.at(-1)).toEqual({ end: await eventLog.end(), counted: 1, oldest: undefined })
  })

  test('unless the log was rolled back to before the position', async () => {
    const reporting = createFakeReporting()
    await append('a')
    reporting.at = { ...(await eventLog.end()), sequence: 7 }
    listen(reporting)
    await eventually(() => expect(reporting.attempts.length).toBeGreaterThan(5))
    expect(reporting.reports).toEqual([])
  })
})

test('views appended in a burst are forwarded in only a few batches', async () => {
  const reporting = createFakeReporting()
  const batches: LogBatch[] = []
  listen(reporting, { onForwarded: (batch) => batches.push(batch) })
  const ids = Array.from({ length: 100 }, (_, index) => `view-${index}`)
  const started = performance.now()
  for (const id of ids) await append(id)
  await eventually(() => expect(reporting.counted).toEqual(ids))
  // At most one batch per 10 ms, with a margin of 100% for the first batch and for timers that fire early.
  expect(batches.length).toBeLessThan(2 + (performance.now() - started) / 5)
  expect(batches.length).toBeLessThan(ids.length)
})

test.each([['bad'], ['bad', 'c'], ['a', 'bad'], ['a', 'b', 'bad', 'd', 'bad', 'f', 'g']])(
  'of the messages %s, the bad ones become dead letters and the others are counted',
  async (...ids) => {
    const reporting = createFakeReporting()
    const reject = vi.spyOn(eventLog, 'reject')
    reporting.isInvalid = ({ views }) => views.some(({ id }) => id === 'bad')
    for (const id of ids) await append(id)
    listen(reporting)
    await eventually(() => expect(reporting.at?.sequence).toBe(ids.length))
    expect(reporting.counted).toEqual(ids.filter((id) => id !== 'bad'))
    const bad = ids.flatMap((id, n) => (id === 'bad' ? [[n + 1, 'reporting returned 400']] : []))
    expect(reject.mock.calls).toEqual(bad)
    expect(logged).toEqual([])
  },
)

test('nothing becomes a dead letter while reporting refuses valid batches too', async () => {
  const reporting = createFakeReporting()
  const reject = vi.spyOn(eventLog, 'reject')
  reporting.isInvalid = () => true
  for (const id of ['a', 'b']) await append(id)
  listen(reporting)
  await eventually(() => expect(logged).toEqual([INTERRUPTED]))
  reporting.isInvalid = () => false
  await eventually(() => expect(reporting.counted).toEqual(['a', 'b']))
  expect(reject).not.toHaveBeenCalled()
})

test('a full backlog is forwarded without pauses', async () => {
  const reporting = createFakeReporting()
  const endless: EventLog = {
    ...eventLog,
    async *read() {
      for (let after = 0; after < 1_000; after += 1) {
        yield { ...emptyBatch({ incarnation: 'log', after, first: 1 }), through: after + 1, pending: 1 }
      }
      stop.abort()
    },
  }
  const started = performance.now()
  listen(reporting, { eventLog: endless })
  await Promise.all(forwarding)
  expect(reporting.at).toEqual({ incarnation: 'log', sequence: 1_000 })
  // With a pause of 10 ms after each batch it would take 10 s.
  expect(performance.now() - started).toBeLessThan(5_000)
})

test('reporting is no longer called once forwarding has ended', async () => {
  const reporting = createFakeReporting()
  await append('a')
  listen(reporting)
  await eventually(() => expect(reporting.counted).toEqual(['a']))
  stop.abort()
  await Promise.all(forwarding)
  const { length } = reporting.attempts
  await sleep(100)
  // A check may have been in flight.
  expect(reporting.attempts.length).toBeLessThan(length + 2)
})

describe('failed attempts', () => {
  test('are retried with growing delays, which reset after progress', async () => {
    // Without jitter the delays are 90, 109, 203, 405, 807 and 1,000 ms.
    vi.spyOn(Math, 'random').mockReturnValue(0.5)
    const reporting = createFakeReporting()
    reporting.isDown = true
    await append('a')
    listen(reporting, { checkMs: 60_000 })
    const lastDelay = () => Number(reporting.attempts.at(-1)) - Number(reporting.attempts.at(-2))
    await eventually(() => expect(lastDelay()).toBeGreaterThan(395))
    expect(reporting.attempts).toHaveLength(5)
    reporting.isDown = false
    await eventually(() => expect(reporting.counted).toEqual(['a']))

    const before = reporting.attempts.length
    reporting.isDown = true
    await append('b')
    await eventually(() => expect(reporting.attempts.length).toBeGreaterThanOrEqual(before + 3))
    const [first = 0, , third = 0] = reporting.attempts.slice(before)
    expect(third - first).toBeLessThan(700)
  })

  test('are logged once, and again only after progress', async () => {
    const reporting = createFakeReporting()
    reporting.isDown = true
    await append('a')
    listen(reporting)
    await eventually(() => expect(reporting.attempts.length).toBeGreaterThan(3))
    expect(logged).toEqual([INTERRUPTED])
    reporting.isDown = false
    await eventually(() => expect(reporting.counted).toEqual(['a']))
    expect(logged).toEqual([INTERRUPTED])
    reporting.isDown = true
    await append('b')
    await eventually(() => expect(logged).toEqual([INTERRUPTED, INTERRUPTED]))
  })

  test('of a different kind are logged as well, such as a rolled-back log after an outage of reporting', async () => {
    const reporting = createFakeReporting()
    reporting.isDown = true
    await append('a')
    listen(reporting)
    await eventually(() => expect(logged).toEqual([INTERRUPTED]))
    reporting.at = { incarnation: (await eventLog.end()).incarnation, sequence: 7 }
    reporting.isDown = false
    await eventually(() => expect(reporting.attempts.length).toBeGreaterThan(5))
    expect(logged).toEqual([INTERRUPTED, INTERRUPTED])
  })

  test('are retried with delays if reporting counts another log', async () => {
    const reporting = createFakeReporting()
    await append('a')
    reporting.rejectsAll = { incarnation: 'another', sequence: 7 }
    listen(reporting)
    await eventually(() => expect(reporting.rejected).toBeGreaterThan(1))
    expect(logged).toEqual([INTERRUPTED])
    reporting.rejectsAll = undefined
    await eventually(() => expect(reporting.counted).toEqual(['a']))
    expect(reporting.rejected).toBeLessThan(10)
  })

  test('end when forwarding is stopped', async () => {
    const reporting = createFakeReporting()
    reporting.isDown = true
    listen(reporting)
    await eventually(() => expect(reporting.attempts).not.toHaveLength(0))
    stop.abort()
    await Promise.all(forwarding)
    expect(logged.length).toBeLessThanOrEqual(1)
  })
})

describe('a standby', () => {
  test('takes over from an active instance that stopped', async () => {
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

  test('sends nothing while the active instance makes progress, and takes over when it stalls', async () => {
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

  test('takes over when reporting counts an earlier incarnation of the log and stalls', async () => {
    const reporting = createFakeReporting()
    await standBy(reporting)
    reporting.at = { incarnation: '2026-01-01T00:00:00Z', sequence: 1_000 }
    await eventually(() => expect(logged.slice(0, 2)).toEqual([STANDING_BY, TAKING_OVER]))
  })

  test('does not take over while the active instance starts on new incarnations of the log', async () => {
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

  test('checks the position no more often than its interval', async () => {
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

type Options = Partial<Pick<Parameters<typeof forward>[0], 'eventLog' | 'onForwarded' | 'standbyMs' | 'checkMs'>>

function listen(reporting: FakeReporting, options: Options = {}, until = stop): void {
  const log = pino({}, { write: (line: string) => logged.push(JSON.parse(line).msg) })
  const deps = { eventLog, reporting, log, onForwarded() {}, standbyMs: 50, checkMs: 20, ...options }
  forwarding.push(forward(deps, AbortSignal.any([stop.signal, until.signal])))
}

async function append(...ids: string[]): Promise<void> {
  const view = (id: string): View => ({ id, assetId: '456', userId: '8', at: '2026-11-20T21:00:00Z' })
  for (const id of ids) await producer.append([view(id)], stop.signal)
}

type FakeReporting = ReportingClient & {
  /** The ids of the counted views. */
  counted: string[]
  /** The times at which the position was read. */
  attempts: number[]
  reports: LogReport[]
  /** The number of rejected batches. */
  rejected: number
  isDown: boolean
  losesResponses: boolean
  at: LogPosition | undefined
  /** Rejects every batch with this position. */
  rejectsAll: LogPosition | undefined
  beforePosition: () => void
  beforeCount: (batch: LogBatch) => void
  /** If it returns true, reporting refuses the content of the batch. */
  isInvalid: (batch: LogBatch) => boolean
  restart(): void
  /** Advances the position as if another instance had forwarded one more message. */
  advance(incarnation: string): void
}

/**
 * A fake reporting service: counts a batch only if it starts at the position. Can be down, restart and lose responses.
 */
function createFakeReporting(): FakeReporting {
  const fake: FakeReporting = {
    counted: [],
    attempts: [],
    rejected: 0,
    reports: [],
    isDown: false,
    losesResponses: false,
    at: undefined,
    rejectsAll: undefined,
    beforePosition: () => undefined,
    beforeCount: () => undefined,
    isInvalid: () => false,
    restart() {
      fake.counted = []
      fake.at = undefined
    },
    advance(incarnation) {
      fake.at = { incarnation, sequence: (fake.at?.sequence ?? 0) + 1 }
    },
    async position() {
      fake.attempts.push(performance.now())
      fake.beforePosition()
      if (fake.isDown) throw new Error('reporting is down')
      return fake.at
    },
    report(report, signal) {
      fake.reports.push(report)
      return fake.position(signal)
    },
    async count(batch) {
      if (fake.isDown) throw new Error('reporting is down')
      fake.beforeCount(batch)
      const { incarnation, after, through, views } = batch
      if (fake.isInvalid(batch)) return { outcome: 'invalid', reason: 'reporting returned 400' }
      if (fake.rejectsAll || after !== (fake.at?.sequence ?? 0)) {
        fake.rejected += 1
        return { outcome: 'conflict', position: fake.rejectsAll ?? fake.at }
      }
      fake.counted.push(...views.map(({ id }) => id))
      fake.at = { incarnation, sequence: through }
      if (fake.losesResponses) throw new Error('the response was lost')
      return { outcome: 'counted' }
    },
  }
  return fake
}
