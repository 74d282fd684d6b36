import { afterEach, beforeEach, expect, test } from 'vitest'
import type { LogPosition } from '../shared/contracts/position.ts'
import { emptyBatch } from '../shared/event-log/batch-builder.ts'
import type { LogBatch } from '../shared/event-log/event-log.ts'
import { sleep } from '../shared/runtime/sleep.ts'
import { eventually } from '../tests/harness/eventually.ts'
import { createFakeReporting, type ForwardingTest, openForwarding } from '../tests/harness/forwarding.ts'

const MESSAGES = 3

let setUp: ForwardingTest

beforeEach(() => {
  setUp = openForwarding()
})
afterEach(() => setUp[Symbol.asyncDispose]())

type Options = { pendingBehind: (sequence: number) => number; onRead?: (sequence: number) => void }

/** Forwards a log with one message per batch. Reporting counts the first batch once `release` is called. */
function forwardSlowly({ pendingBehind, onRead = () => {} }: Options) {
  const reporting = createFakeReporting()
  const released = Promise.withResolvers<void>()
  let lastRead = 0
  async function* read(position: LogPosition | undefined, signal: AbortSignal): AsyncGenerator<LogBatch> {
    for (let after = position?.sequence ?? 0; after < MESSAGES; after += 1) {
      const through = after + 1
      lastRead = through
      onRead(through)
      yield { ...emptyBatch({ incarnation: 'log', after, first: 1 }), through, pending: pendingBehind(through) }
    }
    await sleep(60_000, signal)
  }
  const { count } = reporting
  reporting.count = async (batch, signal) => {
    if (batch.after === 0) await released.promise
    return count(batch, signal)
  }
  setUp.listen(reporting, { eventLog: { ...setUp.eventLog, read }, checkMs: 60_000 })
  return { reporting, release: released.resolve, lastRead: () => lastRead }
}

const toEnd = (sequence: number) => MESSAGES - sequence

test('during a replay, the next batch is read while reporting counts the one before it', async () => {
  const { reporting, release, lastRead } = forwardSlowly({ pendingBehind: toEnd })
  await eventually(() => expect(lastRead()).toBe(2))
  expect(reporting.at).toBeUndefined()
  release()
  await eventually(() => expect(reporting.at?.sequence).toBe(MESSAGES))
})

test('during a replay, a batch is sent before the next one is read', async () => {
  const events: string[] = []
  const onRead = (sequence: number) => events.push(`read ${sequence}`)
  const { reporting, release } = forwardSlowly({ pendingBehind: toEnd, onRead })
  reporting.beforeCount = ({ through }) => events.push(`send ${through}`)
  release()
  await eventually(() => expect(reporting.at?.sequence).toBe(MESSAGES))
  expect(events).toEqual(['read 1', 'send 1', 'read 2', 'send 2', 'read 3', 'send 3'])
})

test('during a replay, the next batch is prepared while reporting counts the one before it', async () => {
  const { reporting, release } = forwardSlowly({ pendingBehind: toEnd })
  const prepared: number[] = []
  reporting.prepare = ({ through }) => prepared.push(through)
  await eventually(() => expect(prepared).toEqual([2]))
  expect(reporting.at).toBeUndefined()
  release()
  await eventually(() => expect(reporting.at?.sequence).toBe(MESSAGES))
  expect(prepared).toEqual([2, 3])
})

test('at the end of the log, a batch is read only after the one before it is counted', async () => {
  const { reporting, release, lastRead } = forwardSlowly({ pendingBehind: () => 0 })
  await eventually(() => expect(lastRead()).toBe(1))
  await sleep(20)
  expect(lastRead()).toBe(1)
  release()
  await eventually(() => expect(reporting.at?.sequence).toBe(MESSAGES))
})

test('a batch is counted even if reading the next one fails meanwhile', async () => {
  let failures = 0
  const onRead = (sequence: number) => {
    if (sequence !== 2 || failures > 0) return
    failures += 1
    throw new Error('the log is unavailable')
  }
  const { reporting, release } = forwardSlowly({ pendingBehind: toEnd, onRead })
  await eventually(() => expect(failures).toBe(1))
  release()
  await eventually(() => expect(reporting.at?.sequence).toBe(MESSAGES))
  expect(reporting.rejected).toBe(0)
})
