import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { pino } from 'pino'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { EventLog, NewView } from '../shared/event-log/event-log.ts'
import { raceAbort } from '../shared/runtime/race-abort.ts'
import { eventually } from '../tests/harness/eventually.ts'
import { createOutbox, type Outbox, OutboxError } from './outbox.ts'
import { createSpooler, type Spooler } from './spooler.ts'

const log = pino({ level: 'silent' })
let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'spooler-'))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

test('what the log confirms is in the log, and nothing is in the outbox', async () => {
  await using play = start(createFakeLog())
  expect(await play.append('a')).toBe('log')
  expect(play.fakeLog.stored).toEqual(['a'])
  expect(play.outbox.size()).toBe(0)
})

test('what the log does not confirm is on disk when it is recorded', async () => {
  await using play = start(createFakeLog('refuses'))
  expect(await play.append('a', 'b')).toBe('outbox')
  expect(play.outbox.size()).toBe(2)
})

test('while the log does not confirm nobody waits for it', async () => {
  await using play = start(createFakeLog('hangs'))
  await play.append('a')
  // The signal never aborts, so this one would hang if the log were asked.
  expect(await play.spooler.append(someViews('b'), new AbortController().signal)).toBe('outbox')
})

test('when the log is back it gets all in order, and views go to it again', async () => {
  await using play = start(createFakeLog('refuses'))
  for (const id of ['a', 'b', 'c']) await play.append(id)
  play.fakeLog.mode = 'confirms'
  await eventually(() => expect(play.outbox.size()).toBe(0))
  expect(play.fakeLog.stored).toEqual(['a', 'b', 'c'])
  expect(await play.append('d')).toBe('log')
  expect(play.fakeLog.stored).toEqual(['a', 'b', 'c', 'd'])
})

test('views whose acknowledgement was lost are stored once', async () => {
  await using play = start(createFakeLog('loses acknowledgements'))
  expect(await play.append('a')).toBe('outbox')
  await play.append('b')
  play.fakeLog.mode = 'confirms'
  await eventually(() => expect(play.outbox.size()).toBe(0))
  expect(play.fakeLog.stored).toEqual(['a', 'b'])
})

test('what waited when the process ended is stored once by the next one', async () => {
  const fakeLog = createFakeLog('loses acknowledgements')
  {
    await using play = start(fakeLog)
    await play.append('a')
    fakeLog.mode = 'refuses'
    await play.append('b')
  }
  fakeLog.mode = 'confirms'
  await using play = start(fakeLog)
  expect(await play.append('c')).toBe('log')
  await eventually(() => expect(play.outbox.size()).toBe(0))
  expect(fakeLog.stored.toSorted()).toEqual(['a', 'b', 'c'])
})

test('with the log and the outbox both failing nothing is recorded, and the log serves as soon as it is back', async () => {
  await using play = start(createFakeLog('refuses'))
  play.fails.put = true
  await expect(play.append('a')).rejects.toThrow(OutboxError)
  play.fakeLog.mode = 'confirms'
  expect(await play.append('b')).toBe('log')
  expect(play.fakeLog.stored).toEqual(['b'])
})

test('an outbox that cannot drop what the log has holds nobody up, and stores nothing twice', async () => {
  const fakeLog = createFakeLog('refuses')
  {
    await using play = start(fakeLog)
    await play.append('a')
    play.fails.drop = true
    fakeLog.mode = 'confirms'
    await eventually(() => expect(fakeLog.stored).toEqual(['a']))
    expect(await play.append('b')).toBe('log')
  }
  await using play = start(fakeLog)
  await eventually(() => expect(play.outbox.size()).toBe(0))
  expect(fakeLog.stored).toEqual(['a', 'b'])
})

test('whatever fails when, every recorded view is stored once', { timeout: 60_000 }, async () => {
  const step = fc.oneof(
    { weight: 5, arbitrary: fc.constant('append' as const) },
    { weight: 3, arbitrary: fc.constantFrom<Mode>('confirms', 'refuses', 'loses acknowledgements', 'hangs') },
    { weight: 2, arbitrary: fc.constantFrom('put fails', 'put works', 'drop fails', 'drop works', 'restart', 'turn') },
  )
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 25, size: 'max' }), async (steps) => {
      const fakeLog = createFakeLog()
      const recorded: string[] = []
      const refused: string[] = []
      rmSync(join(folder, 'outbox.sqlite'), { force: true })
      let play = start(fakeLog)
      for (const [index, name] of steps.entries()) {
        if (name === 'append') {
          const id = `v${index}`
          await play.append(id).then(
            () => recorded.push(id),
            () => refused.push(id),
          )
        } else if (name === 'restart') {
          await play[Symbol.asyncDispose]()
          play = start(fakeLog)
        } else if (name === 'turn') await new Promise((resolve) => setImmediate(resolve))
        else if (name.startsWith('put')) play.fails.put = name === 'put fails'
        else if (name.startsWith('drop')) play.fails.drop = name === 'drop fails'
        else fakeLog.mode = name as Mode
      }
      fakeLog.mode = 'confirms'
      play.fails.put = play.fails.drop = false
      await eventually(() => expect(play.outbox.size()).toBe(0))
      await play[Symbol.asyncDispose]()
      const stored = fakeLog.stored.filter((id) => !refused.includes(id))
      expect(stored.toSorted()).toEqual(recorded.toSorted())
      expect(new Set(fakeLog.stored).size).toBe(fakeLog.stored.length)
    }),
    { numRuns: 60 },
  )
})

type Mode = 'confirms' | 'refuses' | 'loses acknowledgements' | 'hangs'

/**
 * A model of the log: what it has stored, in order, and what each producer's subject ends with. A producer that is new, or
 * has failed, first asks for that, as the real one does. Where it hangs it goes on when its mode changes.
 */
function createFakeLog(mode: Mode = 'confirms') {
  const ends = new Map<string, string>()
  let producers = 0
  let goOn = Promise.withResolvers<void>()
  let current = mode
  const fake = {
    get mode() {
      return current
    },
    set mode(next: Mode) {
      current = next
      goOn.resolve()
      goOn = Promise.withResolvers()
    },
    stored: [] as string[],
    producer(id = `producer-${producers++}`) {
      let settled = false
      return {
        id,
        async append(views: readonly NewView[], signal: AbortSignal) {
          await answer(signal)
          const rest = settled ? views : views.slice(views.findIndex((view) => view.id === ends.get(id)) + 1)
          settled = false
          fake.stored.push(...rest.map((view) => view.id))
          ends.set(id, views.at(-1)?.id ?? '')
          if (fake.mode === 'loses acknowledgements') throw new Error('no acknowledgement')
          settled = true
        },
      }
    },
  }
  async function answer(signal: AbortSignal): Promise<void> {
    if (fake.mode === 'refuses') throw new Error('no connection')
    if (fake.mode !== 'hangs') return
    await raceAbort(goOn.promise, signal)
  }
  return fake
}

/** A play process' spooler on the outbox file of the test, whose disk fails as told. */
function start(fakeLog: ReturnType<typeof createFakeLog>) {
  const fails = { put: false, drop: false }
  const file = createOutbox(join(folder, 'outbox.sqlite'))
  const failing = (fail: boolean) => {
    if (fail) throw new OutboxError('the disk is full')
  }
  const outbox: Outbox = {
    ...file,
    put(producer, views) {
      failing(fails.put)
      file.put(producer, views)
    },
    drop(through) {
      failing(fails.drop)
      file.drop(through)
    },
  }
  const spooler: Spooler = createSpooler({ eventLog: fakeLog as unknown as EventLog, outbox, log, retryMs: 2 })
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
