import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { pino } from 'pino'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { NewView } from '../shared/event-log/event-log.ts'
import { raceAbort } from '../shared/runtime/race-abort.ts'
import { sleep } from '../shared/runtime/sleep.ts'
import { createFakeLog, expectConsecutive, type FakeLog, type Mode } from '../shared/testing/fake-log.ts'
import { eventually } from '../tests/harness/eventually.ts'
import { createOutbox, type Outbox, OutboxError } from './outbox.ts'
import { createSpooler, type Spooler } from './spooler.ts'

let directory: string
let logged: string[]
beforeEach(() => {
  logged = []
  directory = mkdtempSync(join(tmpdir(), 'spooler-'))
})
afterEach(() => rmSync(directory, { recursive: true, force: true }))

test('acknowledged views are in the log, and the outbox stays empty', async () => {
  await using play = start(createFakeLog())
  expect(await play.append('a')).toEqual({ place: 'log', producer: 'producer-0', serial: 1 })
  expect(play.fakeLog.stored).toEqual(['a'])
  expect(play.outbox.size()).toBe(0)
})

test('views that the log does not acknowledge are written to disk before they count as recorded', async () => {
  await using play = start(createFakeLog('refuses'))
  expect(await play.append('a', 'b')).toEqual({ place: 'outbox', producer: 'producer-0', serial: 1 })
  expect(play.outbox.size()).toBe(2)
})

test('while the log is unavailable, appends do not wait for it', async () => {
  await using play = start(createFakeLog('hangs'))
  await play.append('a')
  // This signal never aborts, so an append to the log would hang.
  expect(await play.spooler.append(someViews('b'), new AbortController().signal)).toMatchObject({ place: 'outbox' })
})

test('when the log recovers, the outbox drains in order, and new views go to the log', async () => {
  await using play = start(createFakeLog('refuses'))
  for (const id of ['a', 'b', 'c']) await play.append(id)
  play.fakeLog.mode = 'confirms'
  await eventually(() => expect(play.outbox.size()).toBe(0))
  expect(play.fakeLog.stored).toEqual(['a', 'b', 'c'])
  const next = play.spooler.producer()
  expect(next).not.toBe('producer-0')
  expect(await play.append('d')).toEqual({ place: 'log', producer: next, serial: 1 })
  expect(play.fakeLog.stored).toEqual(['a', 'b', 'c', 'd'])
})

test('views whose acknowledgement was lost are stored exactly once', async () => {
  await using play = start(createFakeLog('loses acknowledgements'))
  expect(await play.append('a')).toMatchObject({ place: 'outbox' })
  await play.append('b')
  play.fakeLog.mode = 'confirms'
  await eventually(() => expect(play.outbox.size()).toBe(0))
  expect(play.fakeLog.stored).toEqual(['a', 'b'])
})

test("an earlier process's backlog is stored exactly once by the next process", async () => {
  const fakeLog = createFakeLog('loses acknowledgements')
  {
    await using play = start(fakeLog)
    await play.append('a')
    fakeLog.mode = 'refuses'
    await play.append('b')
  }
  fakeLog.mode = 'confirms'
  await using play = start(fakeLog)
  expect(await play.append('c')).toMatchObject({ place: 'log' })
  await eventually(() => expect(play.outbox.size()).toBe(0))
  expect(fakeLog.stored.toSorted()).toEqual(['a', 'b', 'c'])
})

test('while both the log and the outbox fail, appends fail; the log is used as soon as it recovers', async () => {
  await using play = start(createFakeLog('refuses'))
  play.fails.put = true
  await expect(play.append('a')).rejects.toThrow(OutboxError)
  play.fakeLog.mode = 'confirms'
  expect(await play.append('b')).toMatchObject({ place: 'log' })
  expect(play.fakeLog.stored).toEqual(['b'])
})

test('an outbox that cannot delete drained views neither blocks appends nor duplicates views', async () => {
  const fakeLog = createFakeLog('refuses')
  {
    await using play = start(fakeLog)
    await play.append('a')
    play.fails.drop = true
    fakeLog.mode = 'confirms'
    await eventually(() => expect(fakeLog.stored).toEqual(['a']))
    expect(await play.append('b')).toMatchObject({ place: 'log' })
  }
  await using play = start(fakeLog)
  await eventually(() => expect(play.outbox.size()).toBe(0))
  expect(fakeLog.stored).toEqual(['a', 'b'])
})

describe('an outage and its recovery are each logged once', () => {
  const outage = ['event log unavailable; writing views to the outbox', 'event log recovered']

  test('when the backlog is drained', async () => {
    await using play = start(createFakeLog('refuses'))
    for (const id of ['a', 'b']) await play.append(id)
    expect(logged).toEqual(outage.slice(0, 1))
    play.fakeLog.mode = 'confirms'
    await eventually(() => expect(play.outbox.size()).toBe(0))
    expect(logged).toEqual(outage)
  })

  test('when the log acknowledges an append', async () => {
    await using play = start(createFakeLog('refuses'))
    play.fails.put = true
    for (const id of ['a', 'b']) await expect(play.append(id)).rejects.toThrow(OutboxError)
    expect(logged).toEqual([outage[0], 'outbox unavailable'])
    play.fakeLog.mode = 'confirms'
    await play.append('c')
    expect(logged).toEqual([outage[0], 'outbox unavailable', outage[1]])
  })

  test('when the outbox works again', async () => {
    await using play = start(createFakeLog('refuses'))
    play.fails.put = true
    await expect(play.append('a')).rejects.toThrow(OutboxError)
    play.fails.put = false
    await play.append('b')
    expect(logged).toEqual([outage[0], 'outbox unavailable', 'outbox recovered'])
  })
})

test('a backlog that the log rejects is not logged as an outage while the log confirms other views', async () => {
  const fakeLog = createFakeLog()
  const producer: typeof fakeLog.producer = (source, id) =>
    id === 'rejected' ? { id, append: () => Promise.reject(new Error('too large')) } : fakeLog.producer(source, id)
  await using play = start({ ...fakeLog, producer })
  play.outbox.put('rejected', someViews('a'))
  for (const id of ['b', 'c', 'd']) {
    play.spooler.start()
    await sleep(10)
    expect(await play.append(id)).toMatchObject({ place: 'log' })
  }
  expect(logged).toEqual([])
  expect(play.outbox.size()).toBe(1)
})

test('the first view after an outage names the producer and serial of the last acknowledged view', async () => {
  await using play = start(createFakeLog())
  await play.append('a', 'b')
  play.fakeLog.mode = 'refuses'
  await play.append('c')
  play.fakeLog.mode = 'confirms'
  await eventually(() => expect(play.outbox.size()).toBe(0))
  await play.append('d')
  await play.append('e')
  expect(play.fakeLog.storedViews).toMatchObject([
    { producer: 'producer-0', serial: 1 },
    { producer: 'producer-0', serial: 2 },
    { producer: 'producer-0', serial: 3 },
    { producer: 'producer-1', serial: 1, predecessor: { producer: 'producer-0', serial: 3 } },
    { producer: 'producer-1', serial: 2 },
  ])
  expect(play.fakeLog.storedViews.at(-1)?.predecessor).toBeUndefined()
})

test("a process's first view names the previous process's last acknowledged view", async () => {
  const fakeLog = createFakeLog()
  for (const id of ['a', 'b']) {
    await using play = start(fakeLog)
    await play.append(id)
  }
  {
    await using _ = start(fakeLog)
  }
  await using play = start(fakeLog)
  await play.append('c')
  expect(fakeLog.storedViews).toMatchObject([
    { producer: 'producer-0', serial: 1 },
    { producer: 'producer-1', serial: 1, predecessor: { producer: 'producer-0', serial: 1 } },
    { producer: 'producer-3', serial: 1, predecessor: { producer: 'producer-1', serial: 1 } },
  ])
})

test("once an earlier process's backlog is drained, the next view names the last view in it", async () => {
  const fakeLog = createFakeLog('refuses')
  {
    await using play = start(fakeLog)
    await play.append('a', 'b')
  }
  fakeLog.mode = 'confirms'
  await using play = start(fakeLog)
  await eventually(() => expect(play.outbox.size()).toBe(0))
  await play.append('c')
  expect(fakeLog.storedViews.at(-1)).toMatchObject({ serial: 1, predecessor: { producer: 'producer-0', serial: 2 } })
})

test('while appends take longer than a play may wait, views go to the outbox and keep their producer', async () => {
  const fakeLog = createFakeLog()
  const producer: typeof fakeLog.producer = (source, id) => {
    const producer = fakeLog.producer(source, id)
    return {
      ...producer,
      async append(views, signal) {
        await raceAbort(sleep(30, signal), signal)
        await producer.append(views, signal)
      },
    }
  }
  await using play = start({ ...fakeLog, producer }, { appendTimeoutMs: 10 })
  for (const id of ['a', 'b', 'c']) {
    expect(await play.spooler.append(someViews(id), AbortSignal.timeout(10))).toMatchObject({ place: 'outbox' })
    await eventually(() => expect(play.outbox.size()).toBe(0))
  }
  expect(fakeLog.storedViews).toMatchObject([1, 2, 3].map((serial) => ({ producer: 'producer-0', serial })))
  expect(logged).toEqual(['event log unavailable; writing views to the outbox'])
})

test('every recorded view is stored exactly once, no matter what fails, or when', async () => {
  const step = fc.oneof(
    { weight: 5, arbitrary: fc.constant('append' as const) },
    {
      weight: 3,
      arbitrary: fc.record({ mode: fc.constantFrom<Mode>('confirms', 'refuses', 'loses acknowledgements', 'hangs') }),
    },
    { weight: 2, arbitrary: fc.constantFrom('put fails', 'put works', 'drop fails', 'drop works', 'restart', 'turn') },
  )
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 25, size: 'max' }), async (steps) => {
      const fakeLog = createFakeLog()
      const recorded: string[] = []
      const failed: string[] = []
      rmSync(join(directory, 'outbox.sqlite'), { force: true })
      let play = start(fakeLog)
      for (const [index, step] of steps.entries()) {
        if (typeof step === 'object') fakeLog.mode = step.mode
        else if (step === 'append') {
          const id = `v${index}`
          await play.append(id).then(
            () => recorded.push(id),
            () => failed.push(id),
          )
        } else if (step === 'restart') {
          await play[Symbol.asyncDispose]()
          play = start(fakeLog)
        } else if (step === 'turn') await new Promise((resolve) => setImmediate(resolve))
        else if (step === 'put fails' || step === 'put works') play.fails.put = step === 'put fails'
        else play.fails.drop = step === 'drop fails'
      }
      fakeLog.mode = 'confirms'
      play.fails.put = play.fails.drop = false
      await eventually(() => expect(play.outbox.size()).toBe(0))
      await play[Symbol.asyncDispose]()
      expectConsecutive(fakeLog.storedViews)
      const stored = fakeLog.stored.filter((id) => !failed.includes(id))
      expect(stored.toSorted()).toEqual(recorded.toSorted())
      expect(new Set(fakeLog.stored).size).toBe(fakeLog.stored.length)
    }),
    { numRuns: 60 },
  )
})

/** Opens a spooler on the test's outbox file, as a new process would. The flags in `fails` make the disk fail. */
function start(fakeLog: FakeLog, { appendTimeoutMs = 200 } = {}) {
  const fails = { put: false, drop: false }
  const file = createOutbox(join(directory, 'outbox.sqlite'))
  const throwIf = (fail: boolean) => {
    if (fail) throw new OutboxError('the disk is full')
  }
  const outbox: Outbox = {
    ...file,
    put(producer, views) {
      throwIf(fails.put)
      file.put(producer, views)
    },
    drop(through) {
      throwIf(fails.drop)
      file.drop(through)
    },
  }
  const log = pino({}, { write: (line: string) => logged.push(JSON.parse(line).msg) })
  const spooler: Spooler = createSpooler({ eventLog: fakeLog, outbox, log, appendTimeoutMs, retryMs: 2 })
  spooler.start()
  return {
    fakeLog,
    outbox,
    fails,
    spooler,
    append: (...ids: string[]) => spooler.append(someViews(...ids), AbortSignal.timeout(20)),
    async [Symbol.asyncDispose]() {
      await spooler[Symbol.asyncDispose]()
      file[Symbol.dispose]()
    },
  }
}

function someViews(...ids: string[]): NewView[] {
  return ids.map((id) => ({ id, assetId: '456', userId: '8', at: '2026-11-20T21:00:00.000Z' }))
}
