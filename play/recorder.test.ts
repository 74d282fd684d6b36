import { setImmediate as turn } from 'node:timers/promises'
import { expect, test, vi } from 'vitest'
import type { NewView } from '../shared/event-log/event-log.ts'
import { TimedOutError } from '../shared/runtime/batcher.ts'
import { UnavailableError } from '../shared/runtime/unavailable-error.ts'
import { useFakeClock } from '../shared/testing/fake-clock.ts'
import { createTestRequestContext } from '../shared/testing/test-service.ts'
import { createRecorder } from './recorder.ts'
import type { Recorded } from './spooler.ts'

test('a view in the log says who played what, when, and by which request', async () => {
  const { appends, record } = open()
  vi.setSystemTime('2026-11-20T21:00:00.123Z')
  const request = createTestRequestContext('request-1')
  void record({ assetId: '456', userId: '8' }, request)
  await turn()
  expect(appends[0]?.views).toEqual([
    {
      id: expect.stringMatching(/^[0-9a-f-]{36}$/),
      assetId: '456',
      userId: '8',
      at: '2026-11-20T21:00:00.123Z',
      requestId: 'request-1',
      traceparent: request.span.traceparent,
    },
  ])
})

test('a view is recorded once the log has it, and not before', async () => {
  const { recordMany, store } = open()
  let recorded = false
  const recording = recordMany(1).then(() => {
    recorded = true
  })
  await turn()
  expect(recorded).toBe(false)
  await store(0)
  await recording
})

test('a hundred views that come during an append are the next one', async () => {
  const { appends, recordMany, store } = open()
  const first = recordMany(1)
  await turn()
  const recorded = recordMany(99)
  await turn()
  expect(appends).toHaveLength(1)
  await store(0)
  await store(1)
  await Promise.all([first, recorded])
  expect(appends.map(({ views }) => views.length)).toEqual([1, 99])
  const views = appends.flatMap(({ views }) => views)
  expect(views.map(({ userId }) => userId)).toEqual(['0', ...Array.from({ length: 99 }, (_, n) => String(n))])
  expect(new Set(views.map(({ id }) => id)).size).toBe(100)
})

test('one append has at most a thousand views', async () => {
  const { appends, recordMany, store } = open()
  const recorded = recordMany(2_001)
  await turn()
  for (const n of [0, 1, 2]) await store(n)
  await recorded
  expect(appends.map(({ views }) => views.length)).toEqual([1_000, 1_000, 1])
})

test('where an append fails none of its views are recorded, and those after it are', async () => {
  const { fail, record, store } = open()
  const views = ['1', '2'].map((userId) => record({ assetId: 'a', userId }, createTestRequestContext()))
  const recorded = Promise.allSettled(views)
  await turn()
  const last = record({ assetId: 'a', userId: '3' }, createTestRequestContext())
  await fail(0)
  await store(1)
  const reason = { name: UnavailableError.name, cause: { message: 'the disk is full' } }
  expect(await recorded).toMatchObject([{ reason }, { reason }])
  await last
})

test('an append is told to give up in less than half a second', async () => {
  const { appends, recordMany } = open()
  void recordMany(1)
  await turn()
  await vi.advanceTimersByTimeAsync(499)
  expect(appends[0]?.signal.reason).toBeInstanceOf(TimedOutError)
})

/** A recorder, and what it appends to a log that waits for the test to store it. */
function open() {
  useFakeClock()
  const appends: { views: readonly NewView[]; signal: AbortSignal; stored: PromiseWithResolvers<Recorded> }[] = []
  const record = createRecorder({
    append(views, signal) {
      const stored = Promise.withResolvers<Recorded>()
      appends.push({ views, signal, stored })
      return stored.promise
    },
  })
  const recordMany = (count: number) =>
    Promise.all(
      Array.from({ length: count }, (_, n) => record({ assetId: 'a', userId: String(n) }, createTestRequestContext())),
    )
  return {
    appends,
    record,
    recordMany,
    async store(n: number) {
      appends[n]?.stored.resolve('log')
      await turn()
    },
    async fail(n: number) {
      appends[n]?.stored.reject(new Error('the disk is full'))
      await turn()
    },
  }
}
