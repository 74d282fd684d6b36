import { randomUUID } from 'node:crypto'
import { pino } from 'pino'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { Position } from '../shared/contracts/position.ts'
import type { View } from '../shared/contracts/view.ts'
import type { EventLog, Producer } from '../shared/event-log/event-log.ts'
import { createSqliteEventLog } from '../shared/event-log/sqlite-event-log.ts'
import { eventually } from '../tests/harness/eventually.ts'
import { forward } from './forward.ts'
import type { ReportingClient } from './reporting-client.ts'

const log = pino({ level: 'silent' })
let eventLog: EventLog
let producer: Producer
let stop: AbortController
let forwarding: Promise<void>[]

beforeEach(() => {
  eventLog = createSqliteEventLog({ file: ':memory:', log })
  producer = eventLog.producer()
  stop = new AbortController()
  forwarding = []
})
afterEach(async () => {
  stop.abort()
  await Promise.all(forwarding)
  await eventLog[Symbol.asyncDispose]()
})

test('every view of the log is counted once, as the log grows', async () => {
  const reporting = createFakeReporting()
  await append('a', 'b')
  listen(reporting)
  await eventually(() => expect(reporting.counted).toEqual(['a', 'b']))
  await append('c')
  await eventually(() => expect(reporting.counted).toEqual(['a', 'b', 'c']))
})

test('what reporting counted before is not sent again', async () => {
  const reporting = createFakeReporting()
  await append('a')
  reporting.at = await eventLog.end()
  await append('b')
  listen(reporting)
  await eventually(() => expect(reporting.counted).toEqual(['b']))
})

test('a reporting that is away gets the views when it is back', async () => {
  const reporting = createFakeReporting()
  reporting.away = true
  await append('a')
  listen(reporting)
  await eventually(() => expect(reporting.asked).toBeGreaterThan(1))
  reporting.away = false
  await eventually(() => expect(reporting.counted).toEqual(['a']))
})

test('a batch whose answer was lost is not counted twice', async () => {
  const reporting = createFakeReporting()
  reporting.losesAnswers = true
  await append('a')
  listen(reporting)
  await eventually(() => expect(reporting.counted).toEqual(['a']))
  reporting.losesAnswers = false
  await append('b')
  await eventually(() => expect(reporting.counted).toEqual(['a', 'b']))
})

test('a reporting that lost its counts has them back while nobody plays', async () => {
  const reporting = createFakeReporting()
  await append('a', 'b')
  listen(reporting)
  await eventually(() => expect(reporting.counted).toEqual(['a', 'b']))
  reporting.restart()
  await eventually(() => expect(reporting.counted).toEqual(['a', 'b']))
})

test('of two listeners one works and the other stands by until the first one rests', async () => {
  const reporting = createFakeReporting()
  const first = new AbortController()
  listen(reporting, first)
  listen(reporting)
  const ids = Array.from({ length: 50 }, (_, index) => `view-${index}`)
  for (const id of ids) await append(id)
  await eventually(() => expect(reporting.counted).toEqual(ids))
  expect(reporting.refused).toBeLessThan(5)
  first.abort()
  await append('last')
  await eventually(() => expect(reporting.counted).toEqual([...ids, 'last']))
})

test('a reporting that counts another log is asked again, at intervals', async () => {
  const reporting = createFakeReporting()
  await append('a')
  listen(reporting)
  reporting.refusesAll = { stream: 'another', sequence: 7 }
  await eventually(() => expect(reporting.refused).toBeGreaterThan(0))
  reporting.refusesAll = undefined
  await eventually(() => expect(reporting.counted).toEqual(['a']))
  expect(reporting.refused).toBeLessThan(10)
})

function listen(reporting: ReportingClient, until = stop): void {
  const running = forward({ eventLog, reporting, log, onForwarded() {}, standbyMs: 50, checkMs: 20 }, until.signal)
  stop.signal.addEventListener('abort', () => until.abort())
  forwarding.push(running)
}

async function append(...ids: string[]): Promise<void> {
  const view = (id: string): View => ({ id, assetId: '456', userId: randomUUID(), at: '2026-11-20T21:00:00Z' })
  for (const id of ids) await producer.append([view(id)], stop.signal)
}

/** Counts as reporting does: a batch only if it starts at the position. Can be away, forget, and lose its answers. */
function createFakeReporting() {
  const fake = {
    counted: [] as string[],
    asked: 0,
    refused: 0,
    away: false,
    losesAnswers: false,
    at: undefined as Position | undefined,
    refusesAll: undefined as Position | undefined,
    restart() {
      fake.counted = []
      fake.at = undefined
    },
    async position() {
      fake.asked += 1
      if (fake.away) throw new Error('away')
      return fake.at
    },
    async count({ stream, after, through, views }: Parameters<ReportingClient['count']>[0]) {
      if (fake.away) throw new Error('away')
      if (fake.refusesAll || after !== (fake.at?.sequence ?? 0)) {
        fake.refused += 1
        return { position: fake.refusesAll ?? fake.at }
      }
      fake.counted.push(...views.map(({ id }) => id))
      fake.at = { stream, sequence: through }
      if (fake.losesAnswers) throw new Error('the answer was lost')
      return undefined
    },
  }
  return fake
}
