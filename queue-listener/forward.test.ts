import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { UpstreamError } from '../shared/client/service-client.ts'
import { emptyBatch } from '../shared/event-log/batch-builder.ts'
import type { EventLog, LogBatch } from '../shared/event-log/event-log.ts'
import { assertReachesBack } from '../shared/event-log/extent.ts'
import { sleep } from '../shared/runtime/sleep.ts'
import { eventually } from '../tests/harness/eventually.ts'
import {
  createFakeReporting,
  type FakeReporting,
  type ForwardingTest,
  openForwarding,
} from '../tests/harness/forwarding.ts'
import { runningTime } from '../tests/harness/running-time.ts'
import { StoresDifferError } from './store-check.ts'

const INTERRUPTED = 'forwarding interrupted; retrying'

let setUp: ForwardingTest
let eventLog: EventLog
let append: ForwardingTest['append']
let listen: ForwardingTest['listen']
let logged: string[]

beforeEach(() => {
  setUp = openForwarding()
  ;({ eventLog, append, listen, logged } = setUp)
})
afterEach(async () => {
  vi.restoreAllMocks()
  await setUp[Symbol.asyncDispose]()
})

test('every view in the log is counted exactly once, as the log grows', async () => {
  const reporting = createFakeReporting()
  await append('a', 'b')
  listen(reporting)
  await eventually(() => expect(reporting.counted).toEqual(['a', 'b']))
  await append('c')
  await eventually(() => expect(reporting.counted).toEqual(['a', 'b', 'c']))
})

test("forwarding starts at reporting's position", async () => {
  const reporting = createFakeReporting()
  await append('a')
  reporting.at = await eventLog.end()
  await append('b')
  listen(reporting)
  await eventually(() => expect(reporting.counted).toEqual(['b']))
})

test('onForwarded is called with counted batches, but not with rejected ones', async () => {
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

test('the log is not read again while reporting keeps its position', async () => {
  const reporting = createFakeReporting()
  const read = vi.spyOn(eventLog, 'read')
  await append('a')
  listen(reporting)
  await eventually(() => expect(reporting.counted).toEqual(['a']))
  const before = reporting.attempts.length
  await eventually(() => expect(reporting.attempts.length).toBeGreaterThan(before + 3))
  expect(read).toHaveBeenCalledTimes(1)
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

test('at the end of the log, the longer a batch takes, the longer views are collected for the next one', async () => {
  const reporting = delayed(createFakeReporting(), 8)
  const batches: LogBatch[] = []
  listen(reporting, { onForwarded: (batch) => batches.push(batch) })
  const ids = Array.from({ length: 100 }, (_, index) => `view-${index}`)
  const started = performance.now()
  for (const id of ids) {
    await append(id)
    await sleep(5)
  }
  await eventually(() => expect(reporting.counted).toEqual(ids))
  // One batch per 80 ms, with a margin of 100%.
  expect(batches.length).toBeLessThan(2 + (performance.now() - started) / 40)
})

test('a batch that is counted very slowly delays the next one by no more than its own duration', async () => {
  const reporting = delayed(createFakeReporting(), 200)
  listen(reporting)
  const started = runningTime()
  for (const id of ['a', 'b', 'c']) {
    await append(id)
    await eventually(() => expect(reporting.counted).toContain(id))
  }
  // With unbounded intervals of ten times the duration, two intervals would take 4 s.
  expect(runningTime() - started).toBeLessThan(3_000)
})

test.each([[['bad']], [['bad', 'c']], [['a', 'bad']], [['a', 'b', 'bad', 'd', 'bad', 'f', 'g']]])(
  'of the messages %j, the bad ones become dead letters, and the others are counted',
  async (ids) => {
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

test('a backlog is forwarded without pauses', async () => {
  const reporting = createFakeReporting()
  const end = new AbortController()
  const endless: EventLog = {
    ...eventLog,
    async *read() {
      for (let after = 0; after < 1_000; after += 1) {
        yield { ...emptyBatch({ incarnation: 'log', after, first: 1 }), through: after + 1, pending: 1 }
      }
      end.abort()
    },
  }
  const started = runningTime()
  listen(reporting, { eventLog: endless }, end)
  await eventually(() => expect(end.signal.aborted).toBe(true))
  await setUp.stop()
  expect(reporting.at).toEqual({ incarnation: 'log', sequence: 1_000 })
  // With a pause of 10 ms after each batch, forwarding would take 10 s.
  expect(runningTime() - started).toBeLessThan(5_000)
})

test('reporting is no longer called once forwarding has ended', async () => {
  const reporting = createFakeReporting()
  await append('a')
  listen(reporting)
  await eventually(() => expect(reporting.counted).toEqual(['a']))
  await setUp.stop()
  const { length } = reporting.attempts
  await sleep(100)
  // One call may still have been in flight.
  expect(reporting.attempts.length).toBeLessThan(length + 2)
})

describe('failed attempts', () => {
  test('are retried with growing delays, which reset after progress', async () => {
    // Without jitter the delays are 90, 109, 203, 405, 807 and 1,000 ms. A timer may be early or late.
    vi.spyOn(Math, 'random').mockReturnValue(0.5)
    const reporting = createFakeReporting()
    reporting.isDown = true
    await append('a')
    listen(reporting, { checkMs: 60_000 })
    await eventually(() => expect(reporting.attempts.length).toBeGreaterThanOrEqual(5))
    const delays = reporting.attempts.slice(1).map((at, n) => at - Number(reporting.attempts[n]))
    for (const [n, ms] of [45, 55, 100, 200].entries()) expect(delays[n]).toBeGreaterThan(ms)
    reporting.isDown = false
    await eventually(() => expect(reporting.counted).toEqual(['a']))

    const before = reporting.attempts.length
    reporting.isDown = true
    await append('b')
    await eventually(() => expect(reporting.attempts.length).toBeGreaterThanOrEqual(before + 3))
    const [first = 0, , third = 0] = reporting.attempts.slice(before)
    // If the delays had not been reset, the difference would be at least 1,600 ms.
    expect(third - first).toBeLessThan(1_200)
  })

  test('are logged once, and again only after progress', async () => {
    const reporting = createFakeReporting()
    reporting.isDown = true
    await append('a')
    listen(reporting, { checkMs: 60_000 })
    await eventually(() => expect(reporting.attempts.length).toBeGreaterThan(3))
    expect(logged).toEqual([INTERRUPTED])
    reporting.isDown = false
    await eventually(() => expect(reporting.counted).toEqual(['a']))
    expect(logged).toEqual([INTERRUPTED])
    reporting.isDown = true
    await append('b')
    await eventually(() => expect(logged).toEqual([INTERRUPTED, INTERRUPTED]))
  })

  test('with a new cause are logged as well, for example a rolled-back log after reporting was down', async () => {
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

  test('are logged once per upstream error: refused connections, a wrong token, insufficient storage', async () => {
    const reporting = createFakeReporting()
    let error: Error | undefined
    reporting.beforePosition = () => {
      if (error) throw error
    }
    const cause = (text: string) =>
      new UpstreamError('reporting: GET /events/position failed', { cause: new Error(text) })
    const errors = [
      cause('connect ECONNREFUSED'),
      new UpstreamError('returned 401 instead of 200'),
      cause('it returned 507'),
    ]
    error = errors[0]
    listen(reporting)
    for (const [index, next] of errors.entries()) {
      error = next
      const before = reporting.attempts.length
      await eventually(() => expect(reporting.attempts.length).toBeGreaterThan(before + 2))
      expect(logged).toEqual(errors.slice(0, index + 1).map(() => INTERRUPTED))
    }
  })

  test('are retried with delays if reporting is at a position in another log', async () => {
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
    await setUp.stop()
    expect(logged.length).toBeLessThanOrEqual(1)
  })
})

describe('a conflict with an earlier attempt by the same instance', () => {
  test('does not make the instance a standby if the response to that attempt was lost', async () => {
    const reporting = createFakeReporting()
    const { count } = reporting
    let pending: LogBatch | undefined
    // The first attempt fails, but its batch is counted after the position has been read again.
    reporting.count = async (batch, signal) => {
      if (!pending) {
        pending = batch
        throw new UpstreamError('reporting: POST /events failed')
      }
      if (reporting.counted.length === 0) await count(pending, signal)
      return count(batch, signal)
    }
    await append('a')
    listen(reporting, { standbyMs: 60_000, checkMs: 60_000 })
    await eventually(() => expect(pending).toBeDefined())
    await append('b')
    await eventually(() => expect(reporting.counted).toEqual(['a', 'b']))
    expect(reporting.rejected).toBe(1)
    expect(logged).toEqual([INTERRUPTED])
  })
})

describe('instances of reporting with different stores', () => {
  const SUSPENDED = 'counting is suspended'
  const different = new StoresDifferError([{ url: 'http://a', store: 'one' }])

  test('receive neither batches nor reports until they share a store', async () => {
    const reporting = createFakeReporting()
    let areDifferent = true
    const stores = {
      async assertOneStore() {
        if (areDifferent) throw different
      },
      untilDifferent: () => new Promise<void>(() => {}),
    }
    await append('a')
    listen(reporting, { stores })
    await eventually(() => expect(logged).toEqual([SUSPENDED]))
    await sleep(300)
    expect([reporting.counted, reporting.reports, reporting.attempts]).toEqual([[], [], []])
    areDifferent = false
    await eventually(() => expect(reporting.counted).toEqual(['a']))
    expect(logged).toEqual([SUSPENDED, 'counting is no longer suspended'])
  })

  test.each([
    ['while forwarding is idle', {}],
    ['while this instance is a standby', { standbyMs: 20 }],
  ])('stop the end-of-log reports %s', async (_, options) => {
    const reporting = createFakeReporting()
    const differ = Promise.withResolvers<void>()
    let areDifferent = false
    const stores = {
      async assertOneStore() {
        if (areDifferent) throw different
      },
      untilDifferent: () => differ.promise,
    }
    await append('a')
    if ('standbyMs' in options) reporting.beforeCount = ({ incarnation }) => reporting.advance(incarnation)
    listen(reporting, { stores, ...options })
    await eventually(() => expect(reporting.at?.sequence).toBe(1))
    areDifferent = true
    differ.resolve()
    await eventually(() => expect(logged.at(-1)).toBe(SUSPENDED))
    const { length } = reporting.reports
    await append('b')
    await sleep(200)
    expect([reporting.reports.length, reporting.at?.sequence]).toEqual([length, 1])
  })

  test('are checked again after a conflict, before the position is read', async () => {
    const reporting = createFakeReporting()
    const calls: string[] = []
    reporting.beforePosition = () => calls.push('position')
    const stores = {
      async assertOneStore() {
        calls.push('check')
      },
      untilDifferent: () => new Promise<void>(() => {}),
    }
    await append('a')
    listen(reporting, { stores, checkMs: 60_000 })
    await eventually(() => expect(reporting.counted).toEqual(['a']))
    calls.length = 0
    reporting.restart()
    await append('b')
    await eventually(() => expect(reporting.counted).toEqual(['a', 'b']))
    expect(calls.slice(0, 2)).toEqual(['check', 'position'])
  })
})

describe('a log whose uncounted messages have expired', () => {
  test.each([
    ['all messages', { first: 6, last: 5 }],
    ['some messages', { first: 4, last: 5 }],
  ])('suspends both counting and reports until the position moves (%s expired)', async (_, retained) => {
    const reporting = createFakeReporting()
    const { incarnation } = await eventLog.end()
    const extent = { incarnation, ...retained }
    reporting.at = { incarnation, sequence: 2 }
    const truncated: EventLog = {
      ...eventLog,
      extent: async () => extent,
      async *read(after, signal) {
        assertReachesBack(after, extent)
        yield* eventLog.read(await eventLog.end(), signal)
      },
    }
    listen(reporting, { eventLog: truncated })
    await eventually(() => expect(logged).toEqual(['counting is suspended']))
    const { length } = reporting.attempts
    await eventually(() => expect(reporting.attempts.length).toBeGreaterThan(length + 3))
    expect(reporting.reports).toEqual([])
    expect(logged).toHaveLength(1)
    reporting.at = { incarnation, sequence: retained.first - 1 }
    await eventually(() => expect(logged).toEqual(['counting is suspended', 'counting is no longer suspended']))
    expect(reporting.reports).not.toEqual([])
  })
})

/** Counts each batch only after `delayMs`. */
function delayed(reporting: FakeReporting, delayMs: number): FakeReporting {
  const { count } = reporting
  reporting.count = async (batch, signal) => {
    await sleep(delayMs)
    return count(batch, signal)
  }
  return reporting
}
