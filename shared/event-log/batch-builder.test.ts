import { expect, test } from 'vitest'
import { MAX_VIEWS_PER_BATCH, type View } from '../contracts/view.ts'
import { createBatchBuilder, splitBatch } from './batch-builder.ts'

const MAX_BYTES = 3 * 1024 * 1024
const traceparent = `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`

const rejected = { producer: 'p', from: 3, to: 4 }
const storedAt = '2026-11-20T21:00:00.000Z'
const leaving = { incarnation: 'w', sequence: 5 }

test('each batch starts empty, at the position where the previous batch ended', () => {
  const batch = createBatchBuilder({ incarnation: 'x', after: 7, first: 3, leaving })
  expect(batch.isEmpty()).toBe(true)
  batch.add({ sequence: 8, size: 100, storedAt }, { views: createViews(2), traces: [{ traceparent }] })
  batch.add({ sequence: 9, size: 100, storedAt }, { views: [], traces: [], isDeadLetter: true, skippedIds: [] })
  batch.add(
    { sequence: 11, size: 100, storedAt },
    { views: [], traces: [], isDeadLetter: true, skippedIds: [], rejected },
  )
  expect(batch.isEmpty()).toBe(false)
  expect(batch.take(5)).toMatchObject({
    incarnation: 'x',
    after: 7,
    through: 11,
    views: { length: 2 },
    traces: [{ traceparent }],
    deadLetters: 2,
    rejected: [{ ...rejected, sequence: 11 }],
    first: 3,
    leaving,
    pending: 5,
  })
  expect(batch.isEmpty()).toBe(true)
  batch.add({ sequence: 12, size: 100, storedAt }, { views: createViews(1), traces: [] })
  expect(batch.take(0)).toMatchObject({
    after: 11,
    through: 12,
    views: { length: 1 },
    traces: [],
    deadLetters: 0,
    rejected: [],
    first: 3,
    leaving: undefined,
    pending: 0,
  })
})

test('a batch has room up to its limits on bytes and views, but an empty batch accepts any message', () => {
  const batch = createBatchBuilder({ incarnation: 'x', after: 0, first: 1 })
  for (const sequence of [1, 2]) {
    expect(batch.hasRoom(MAX_BYTES + 1, MAX_VIEWS_PER_BATCH + 1)).toBe(true)
    batch.add({ sequence, size: 100, storedAt }, { views: createViews(10), traces: [] })
    expect(batch.hasRoom(MAX_BYTES - 100, MAX_VIEWS_PER_BATCH - 10)).toBe(true)
    expect(batch.hasRoom(MAX_BYTES - 99, 0)).toBe(false)
    expect(batch.hasRoom(0, MAX_VIEWS_PER_BATCH - 9)).toBe(false)
    batch.take(0)
  }
})

test.each([undefined, rejected])('a batch has room for 1,000 dead letters (rejected serials: %j)', (rejected) => {
  const batch = createBatchBuilder({ incarnation: 'x', after: 0, first: 1 })
  for (let sequence = 1; sequence <= 1_000; sequence += 1) {
    expect(batch.hasRoom(0, 0)).toBe(true)
    batch.add({ sequence, size: 0, storedAt }, { views: [], traces: [], isDeadLetter: true, skippedIds: [], rejected })
  }
  expect(batch.hasRoom(0, 0)).toBe(false)
})

test('each half of a split batch has the serials of its own dead letters', () => {
  const batch = createBatchBuilder({ incarnation: 'x', after: 0, first: 1 })
  const skipped = (from: number) => ({
    views: [],
    traces: [],
    isDeadLetter: true,
    skippedIds: [],
    rejected: { ...rejected, from },
  })
  batch.add({ sequence: 1, size: 100, storedAt }, skipped(1))
  batch.add({ sequence: 2, size: 100, storedAt }, { views: createViews(1), traces: [] })
  batch.add({ sequence: 3, size: 100, storedAt }, skipped(3))
  batch.add({ sequence: 4, size: 100, storedAt }, { views: createViews(1), traces: [] })
  const halves = splitBatch(batch.take(0))
  expect(halves?.map(({ after, through, rejected }) => [after, through, rejected.map(({ from }) => from)])).toEqual([
    [0, 2, [1]],
    [2, 4, [3]],
  ])
})

function createViews(count: number): View[] {
  return Array.from({ length: count }, (_, n) => ({
    id: String(n),
    assetId: '456',
    userId: '8',
    at: '2026-11-20T21:00:00.000Z',
  }))
}
