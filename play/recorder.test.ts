import { expect, test, vi } from 'vitest'
import type { NewView } from '../shared/event-log/event-log.ts'
import { TimedOutError } from '../shared/runtime/batcher.ts'
import { UnavailableError } from '../shared/runtime/unavailable-error.ts'
import { useFakeClock } from '../shared/testing/fake-clock.ts'
import { createTestRequestContext } from '../shared/testing/test-service.ts'
import { turns } from '../shared/testing/turns.ts'
import { nonRecordingSpan, type Span } from '../shared/tracing/tracing.ts'
import { recordedIn } from './recorded.test-suite.ts'
import { createRecorder, type IdentifiedPlay } from './recorder.ts'
import type { Recorded } from './spooler.ts'

test("an appended view has an id, the asset, the user, the time, and the play's request id and trace", async () => {
  const { appends, record } = setUp()
  vi.setSystemTime('2026-11-20T21:00:00.123Z')
  const request = createTestRequestContext('request-1')
  void record({ id: 'view-1', assetId: '456', userId: '8', keyed: true }, request)
  await turns()
  expect(appends[0]?.views).toEqual([
    {
      id: 'view-1',
      keyed: true,
      assetId: '456',
      userId: '8',
      at: '2026-11-20T21:00:00.123Z',
      requestId: 'request-1',
      traceparent: request.span.traceparent,
    },
  ])
})

test('recording a view resolves only once the view is appended', async () => {
  const { recordMany, store } = setUp()
  let recorded = false
  const recording = recordMany(1).then(() => {
    recorded = true
  })
  await turns()
  expect(recorded).toBe(false)
  await store(0)
  await recording
})

test('views that arrive during an append form the next append', async () => {
  const { appends, recordMany, store } = setUp()
  const first = recordMany(1)
  await turns()
  const recorded = recordMany(99)
  await turns()
  expect(appends).toHaveLength(1)
  await store(0)
  await store(1)
  await Promise.all([first, recorded])
  expect(appends.map(({ views }) => views.length)).toEqual([1, 99])
  const views = appends.flatMap(({ views }) => views)
  expect(views.map(({ userId }) => userId)).toEqual(['0', ...Array.from({ length: 99 }, (_, n) => String(n))])
})

test('a recorded view has its own serial', async () => {
  const { appends, record } = setUp()
  const same = playBy('u')
  const recorded = Promise.all([playBy('t'), same, same].map((play) => record(play, createTestRequestContext())))
  await turns()
  appends[0]?.stored.resolve({ place: 'outbox', producer: 'p', serial: 5 })
  expect(await recorded).toEqual([5, 6, 7].map((serial) => ({ place: 'outbox', producer: 'p', serial })))
})

test('an append has at most 1,000 views', async () => {
  const { appends, recordMany, store } = setUp()
  const recorded = recordMany(2_001)
  await turns()
  for (const n of [0, 1, 2]) await store(n)
  await recorded
  expect(appends.map(({ views }) => views.length)).toEqual([1_000, 1_000, 1])
})

test('if an append fails, all of its views fail, but none of those in the next append', async () => {
  const { fail, record, store } = setUp()
  const views = ['1', '2'].map((userId) => record({ id: userId, assetId: 'a', userId }, createTestRequestContext()))
  const recorded = Promise.allSettled(views)
  await turns()
  const last = record({ id: '3', assetId: 'a', userId: '3' }, createTestRequestContext())
  await fail(0)
  await store(1)
  const reason = { name: UnavailableError.name, cause: { message: 'the disk is full' } }
  expect(await recorded).toMatchObject([{ reason }, { reason }])
  await last
})

test("a view's span ends with the outcome of its append", async () => {
  const { fail, record, store } = setUp()
  const outcomes: unknown[] = []
  const span = nonRecordingSpan('trace', 'traceparent', undefined)
  const child: Span = { ...span, end: (outcome) => void outcomes.push(outcome) }
  const request = { requestId: 'request-1', span: { ...span, child: () => child } }
  for (const settle of [store, fail]) {
    const recorded = record({ id: '1', assetId: 'a', userId: 'u' }, request).catch(() => undefined)
    await turns()
    await settle(outcomes.length)
    await recorded
  }
  expect(outcomes).toEqual([undefined, { error: new Error('the disk is full') }])
})

test('an append is aborted after its timeout', async () => {
  const { appends, recordMany } = setUp()
  void recordMany(1)
  await turns()
  await vi.advanceTimersByTimeAsync(299)
  expect(appends[0]?.signal.aborted).toBe(false)
  await vi.advanceTimersByTimeAsync(1)
  expect(appends[0]?.signal.reason).toBeInstanceOf(TimedOutError)
})

const playBy = (userId: string): IdentifiedPlay => ({ id: `view of ${userId}`, assetId: 'a', userId })

/** A recorder, and a list of its appends, which hang until the test settles them. */
function setUp() {
  useFakeClock()
  const appends: { views: readonly NewView[]; signal: AbortSignal; stored: PromiseWithResolvers<Recorded> }[] = []
  const record = createRecorder({
    timeoutMs: 300,
    append(views, signal) {
      const stored = Promise.withResolvers<Recorded>()
      appends.push({ views, signal, stored })
      return stored.promise
    },
  })
  const recordMany = (count: number) =>
    Promise.all(Array.from({ length: count }, (_, n) => record(playBy(String(n)), createTestRequestContext())))
  return {
    appends,
    record,
    recordMany,
    async store(n: number) {
      appends[n]?.stored.resolve(recordedIn('log'))
      await turns()
    },
    async fail(n: number) {
      appends[n]?.stored.reject(new Error('the disk is full'))
      await turns()
    },
  }
}
