import { expect, test } from 'vitest'
import { createCountState } from '../../reporting/maps/count-state.ts'
import { createMapCountStore } from '../../reporting/maps/map-count-store.ts'
import type { LogBatch } from '../../shared/event-log/event-log.ts'
import { countLog } from './count-log.ts'

const RECREATED =
  'the log was recreated: reporting has counted old, but the log is now new. Run the command again once reporting has counted the new log'

test.each([
  ['more messages than were counted', [toBatch(0, 8), toBatch(8, 16)]],
  ['fewer messages than were counted', [toBatch(0, 3)]],
  ['no messages', []],
])('a recreated log with %s is refused', async (_, batches) => {
  const log = createLog('new', batches)
  const store = createMapCountStore({ state: createCountState() })
  await expect(countLog(log, store, { incarnation: 'old', sequence: 5 })).rejects.toThrow(RECREATED)
  expect(await store.position()).toBeUndefined()
})

test('a log that is recreated during the recount is refused', async () => {
  const log = createLog('old', [toBatch(0, 8)])
  const store = createMapCountStore({ state: createCountState() })
  await expect(countLog(log, store, { incarnation: 'old', sequence: 5 })).rejects.toThrow(RECREATED)
  expect(await store.position()).toBeUndefined()
})

test('a log is counted up to the given position', async () => {
  const log = createLog('new', [toBatch(0, 3), toBatch(3, 8)])
  const store = createMapCountStore({ state: createCountState() })
  await countLog(log, store, { incarnation: 'new', sequence: 5 })
  expect(await store.position()).toEqual({ incarnation: 'new', sequence: 5 })
  expect(await store.counts('asset', 'a')).toMatchObject({ views: 5 })
})

/** Creates a log with these batches. As with `tail -f`, `read` does not end after the last batch. */
function createLog(incarnation: string, batches: readonly LogBatch[]) {
  return {
    extent: async () => ({ incarnation, first: 1, last: batches.at(-1)?.through ?? 0 }),
    async *read(_: unknown, signal: AbortSignal) {
      yield* batches
      const { promise, resolve } = Promise.withResolvers<void>()
      signal.addEventListener('abort', () => resolve())
      await promise
    },
  }
}

function toBatch(after: number, through: number): LogBatch {
  const at = '2026-11-20T21:00:00Z'
  const sequences = Array.from({ length: through - after }, (_, n) => after + n + 1)
  return {
    incarnation: 'new',
    after,
    through,
    first: 1,
    views: sequences.map((sequence) => ({ id: `view-${sequence}`, assetId: 'a', userId: 'u', at })),
    watched: [],
    traces: [],
    messages: sequences.map((sequence) => ({ sequence, views: 1, at })),
    skipped: [],
    deadLetters: 0,
    rejected: [],
    pending: 0,
  }
}
