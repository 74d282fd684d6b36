import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { pino } from 'pino'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { NewView } from '../shared/event-log/event-log.ts'
import { createFakeLog, expectConsecutive, type FakeLog, type Mode } from '../shared/testing/fake-log.ts'
import { eventually } from '../tests/harness/eventually.ts'
import { createAdopter } from './adopter.ts'
import { createOutbox } from './outbox.ts'
import { createOutboxFiles } from './outbox-files.ts'
import { createSpooler } from './spooler.ts'

const log = pino({ level: 'silent' })
const INTERVAL_MS = 4

let directory: string
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'adopter-'))
})
afterEach(() => rmSync(directory, { recursive: true, force: true }))

test('the backlog of a process that has ended is stored exactly once, under its original producer id', async () => {
  const fakeLog = createFakeLog('loses acknowledgements')
  {
    await using ended = start(fakeLog, 1)
    await ended.append('a')
    await ended.append('b', 'c')
  }
  await using play = start(fakeLog, 2)
  fakeLog.mode = 'confirms'
  await eventually(() => expect(fakeLog.stored).toEqual(['a', 'b', 'c']))
  expect(fakeLog.storedViews).toMatchObject([1, 2, 3].map((serial) => ({ producer: 'producer-0', serial })))
  await eventually(() => expect(play.backlog()).toBe(0))
})

test('a backlog that contains only reports of watch time is adopted too', async () => {
  const fakeLog = createFakeLog('refuses')
  {
    await using ended = start(fakeLog, 1)
    await ended.report('r')
  }
  fakeLog.mode = 'confirms'
  await using _ = start(fakeLog, 2)
  await eventually(() => expect(fakeLog.stored).toEqual(['r']))
})

test('the backlog of a process that is still running is not adopted', async () => {
  const fakeLog = createFakeLog('refuses')
  await using other = start(fakeLog, 1)
  await other.append('a')
  await using play = start(fakeLog, 1)
  await searches()
  expect([other.backlog(), play.backlog()]).toEqual([1, 0])
})

test('while the log is unavailable, exactly one process adopts a backlog, and counts it as its own', async () => {
  const fakeLog = createFakeLog('refuses')
  {
    await using ended = start(fakeLog, 1)
    await ended.append('a', 'b')
  }
  const plays = [start(fakeLog, 2), start(fakeLog, 3)]
  await eventually(() => expect(plays.map((play) => play.backlog()).toSorted()).toEqual([0, 2]))
  const [first = start(fakeLog, 4), second = first] = plays.toSorted((a, b) => b.backlog() - a.backlog())
  await first[Symbol.asyncDispose]()
  await eventually(() => expect(second.backlog()).toBe(2))
  fakeLog.mode = 'confirms'
  await eventually(() => expect(second.backlog()).toBe(0))
  expect(fakeLog.stored).toEqual(['a', 'b'])
  await second[Symbol.asyncDispose]()
})

test("each adopted producer's last view is named as the predecessor of exactly one later view", async () => {
  const fakeLog = createFakeLog()
  {
    await using stopped = start(fakeLog, 1)
    await stopped.append('a')
  }
  {
    await using ended = start(fakeLog, 2, { adopts: false })
    await ended.append('b')
    fakeLog.mode = 'refuses'
    await ended.append('c', 'd')
  }
  fakeLog.mode = 'confirms'
  await using play = start(fakeLog, 3)
  await eventually(() => expect(fakeLog.stored).toEqual(['a', 'b', 'c', 'd']))
  await searches()
  await play.append('e', 'f', 'g')
  await searches()
  await play.append('h')
  const named = fakeLog.storedViews.filter(({ predecessor }) => predecessor)
  const predecessors = named
    .map(({ predecessor }) => predecessor)
    .toSorted((p, q) => (p && q ? p.serial - q.serial : 0))
  expect(predecessors).toEqual([
    { producer: 'producer-0', serial: 1 },
    { producer: 'producer-1', serial: 3 },
  ])
  expect(named.map(({ id }) => id)).toEqual(['e', 'f'])
})

test('a backlog that the log rejects does not delay other backlogs', async () => {
  const fakeLog = createFakeLog()
  for (const [port, producer] of [[1, 'rejected'] as const, [2, 'p'] as const]) {
    using outbox = createOutboxFiles({ directory, log }).claim(port)
    outbox.put(producer, someViews(producer))
  }
  const producer: FakeLog['producer'] = (source, id) =>
    id === 'rejected' ? { id, append: () => Promise.reject(new Error('too large')) } : fakeLog.producer(source, id)
  await using play = start({ ...fakeLog, producer }, 3)
  await eventually(() => expect(fakeLog.stored).toEqual(['p']))
  await eventually(() => expect(play.backlog()).toBe(1))
})

test('every recorded view is stored exactly once, no matter which processes end, or when', async () => {
  const process = fc.nat({ max: 2 })
  const step = fc.oneof(
    { weight: 5, arbitrary: fc.record({ append: process }) },
    {
      weight: 3,
      arbitrary: fc.record({ mode: fc.constantFrom<Mode>('confirms', 'refuses', 'loses acknowledgements', 'hangs') }),
    },
    { weight: 3, arbitrary: fc.record({ restart: process }) },
    { weight: 2, arbitrary: fc.record({ end: process }) },
    { weight: 2, arbitrary: fc.constant('search' as const) },
  )
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 25, size: 'max' }), async (steps) => {
      rmSync(directory, { recursive: true })
      const fakeLog = createFakeLog()
      const recorded: string[] = []
      // Two of the three processes share a port.
      const plays = new Map([0, 1, 2].map((n) => [n, start(fakeLog, n % 2)]))
      for (const [index, step] of steps.entries()) {
        if (step === 'search') await searches(1)
        else if ('mode' in step) fakeLog.mode = step.mode
        else if ('append' in step) {
          await plays.get(step.append)?.append(`v${index}`)
          if (plays.has(step.append)) recorded.push(`v${index}`)
        } else {
          const n = 'end' in step ? step.end : step.restart
          await plays.get(n)?.[Symbol.asyncDispose]()
          plays.delete(n)
          if ('restart' in step) plays.set(n, start(fakeLog, n % 2))
        }
      }
      fakeLog.mode = 'confirms'
      plays.set(3, start(fakeLog, 3))
      await eventually(() => expect(fakeLog.stored.toSorted()).toEqual(recorded.toSorted()))
      for (const play of plays.values()) await play[Symbol.asyncDispose]()
      expectConsecutive(fakeLog.storedViews)
    }),
    { numRuns: 20 },
  )
})

/** Starts a play process: a spooler with an outbox for this port, and an adopter. */
function start(eventLog: Pick<FakeLog, 'producer'>, port: number, { adopts = true } = {}) {
  const files = createOutboxFiles({ directory, log })
  const outbox = createOutbox(`for port ${port}`, () => files.claim(port))
  const spooler = createSpooler({ eventLog, outbox, log, appendTimeoutMs: 200, retryMs: 2 })
  const adopter = createAdopter({
    files,
    eventLog,
    log,
    onAcknowledged: spooler.name,
    intervalMs: INTERVAL_MS,
  })
  spooler.start()
  if (adopts) adopter.start()
  return {
    append: (...ids: string[]) => spooler.append(someViews(...ids), AbortSignal.timeout(20)),
    report: (id: string) =>
      spooler.append(
        someViews(id).map((view) => ({ ...view, watched: { viewId: 'a', seconds: 31 } })),
        AbortSignal.timeout(20),
      ),
    backlog: () => outbox.size() + adopter.size(),
    async [Symbol.asyncDispose]() {
      await adopter[Symbol.asyncDispose]()
      await spooler[Symbol.asyncDispose]()
      outbox[Symbol.dispose]()
    },
  }
}

/** Waits until each process has searched for orphans this many times. */
function searches(times = 20): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, INTERVAL_MS * 1.5 * times))
}

function someViews(...ids: string[]): NewView[] {
  return ids.map((id) => ({ id, assetId: '456', userId: '8', at: '2026-11-20T21:00:00.000Z' }))
}
