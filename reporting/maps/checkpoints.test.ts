import { pino } from 'pino'
import { expect, test } from 'vitest'
import { sleep } from '../../shared/runtime/sleep.ts'
import { eventually } from '../../tests/harness/eventually.ts'
import { unlimited } from './capacity.ts'
import { decodeCheckpoint } from './checkpoint-decoder.ts'
import type { CheckpointFile } from './checkpoint-file.ts'
import { startCheckpoints } from './checkpoints.ts'
import { createCountState } from './count-state.ts'
import { createViewCounts } from './view-counts.ts'

const EVERY_MS = 20

test('changed counts are written, and unchanged ones are not', async () => {
  await using store = openStore()
  await sleep(5 * EVERY_MS)
  expect(store.disk.writes).toEqual([])
  expect(store.checkpoints.status()).toEqual({ ageMs: 0, isFailing: false, last: undefined })
  store.count()
  expect(store.checkpoints.status().ageMs).toBeGreaterThan(0)
  await eventually(() => expect(store.disk.writes).toHaveLength(1))
  await eventually(() => expect(store.checkpoints.status().ageMs).toBe(0))
  expect(store.checkpoints.status().last?.bytes).toBe(store.disk.writes[0]?.bytes.length)
  await sleep(20 * EVERY_MS)
  expect(store.disk.writes).toHaveLength(1)
})

test('the pause after a write is at least 20 times as long as the write', async () => {
  await using store = openStore()
  store.disk.delayMs = 30
  store.count()
  await eventually(() => expect(store.disk.writes).toHaveLength(1))
  store.count()
  await eventually(() => expect(store.disk.writes).toHaveLength(2))
  const [first, second] = store.disk.writes
  expect(Number(second?.startedAt) - Number(first?.endedAt)).toBeGreaterThan(20 * 30 - 5)
})

test('views counted during a write are in the next checkpoint', async () => {
  await using store = openStore()
  store.disk.delayMs = 10
  store.disk.onWrite = () => store.count()
  store.count()
  await eventually(() => expect(store.disk.writes).toHaveLength(1))
  store.disk.onWrite = () => {}
  await eventually(() => expect(store.disk.writes).toHaveLength(2))
  expect(await Promise.all(store.disk.writes.map(({ bytes }) => viewsIn(bytes)))).toEqual([1, 2])
})

test('failures are logged once, and reported in the status until a write succeeds; counting continues', async () => {
  await using store = openStore()
  store.disk.error = new Error('no space left on device')
  store.count()
  await eventually(() => expect(store.disk.attempts).toBeGreaterThan(2))
  expect(store.checkpoints.status()).toMatchObject({ isFailing: true, ageMs: expect.any(Number), last: undefined })
  expect(store.logged).toEqual(['cannot write the checkpoint; the previous one remains'])
  store.count()
  expect(store.views()).toBe(2)
  store.disk.error = undefined
  await eventually(() => expect(store.checkpoints.status().isFailing).toBe(false))
  expect(await viewsIn(store.disk.writes.at(-1)?.bytes)).toBe(2)
  expect(store.logged).toEqual([
    'cannot write the checkpoint; the previous one remains',
    'checkpoints are written again',
  ])
})

test('at shutdown, the last changes are written, even if a write is in progress', async () => {
  const store = openStore()
  store.disk.delayMs = 50
  store.count()
  await eventually(() => expect(store.disk.attempts).toBe(1))
  store.count()
  await store[Symbol.asyncDispose]()
  expect(await viewsIn(store.disk.writes.at(-1)?.bytes)).toBe(2)
  expect(store.logged).toEqual([])
})

test('at shutdown, unchanged counts are not written again', async () => {
  const store = openStore()
  store.count()
  await eventually(() => expect(store.disk.writes).toHaveLength(1))
  await store[Symbol.asyncDispose]()
  expect(store.disk.writes).toHaveLength(1)
})

test('a read-only checkpoint is never written, and the status is failing', async () => {
  const store = openStore({ isReadOnly: true })
  store.count()
  await sleep(5 * EVERY_MS)
  expect(store.checkpoints.status().isFailing).toBe(true)
  await store[Symbol.asyncDispose]()
  expect(store.disk.attempts).toBe(0)
})

test("an interval that exceeds a Node timer's maximum does not elapse immediately", async () => {
  await using store = openStore({ everyMs: 365 * 86_400_000 })
  store.count()
  await sleep(50)
  expect(store.disk.attempts).toBe(0)
})

type Write = { bytes: Buffer; startedAt: number; endedAt: number }

function openStore({ everyMs = EVERY_MS, isReadOnly = false } = {}) {
  const state = createCountState()
  const counts = createViewCounts(unlimited, state)
  const disk = {
    attempts: 0,
    writes: [] as Write[],
    delayMs: 0,
    error: undefined as Error | undefined,
    onWrite: () => {},
  }
  const file: Pick<CheckpointFile, 'write' | 'isReadOnly'> = {
    isReadOnly: () => isReadOnly,
    async write(chunks, signal) {
      const startedAt = performance.now()
      disk.attempts += 1
      if (disk.error) throw disk.error
      disk.onWrite()
      await sleep(disk.delayMs, signal)
      signal.throwIfAborted()
      const bytes = Buffer.concat(Array.from(chunks, (chunk) => Uint8Array.from(chunk)))
      disk.writes.push({ bytes, startedAt, endedAt: performance.now() })
      return bytes.length
    },
  }
  const logged: string[] = []
  const log = pino({}, { write: (line: string) => logged.push(JSON.parse(line).msg) })
  const checkpoints = startCheckpoints({ file, state, everyMs, log })
  return {
    checkpoints,
    disk,
    logged,
    count: () => counts.count({ assetId: 'a', userId: 'u' }),
    views: () => counts.counts('user', 'u')?.views,
    [Symbol.asyncDispose]: () => checkpoints[Symbol.asyncDispose](),
  }
}

async function viewsIn(bytes: Buffer = Buffer.alloc(0)): Promise<number | undefined> {
  let at = 0
  const state = await decodeCheckpoint(async (target) => {
    const length = bytes.copy(target, 0, at)
    at += length
    return length
  }, bytes.length)
  return state.counts.user.get('u')
}
