import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { SerialRange } from '../shared/contracts/event-batch.ts'
import type { Predecessor, View } from '../shared/contracts/view.ts'
import { createDeduplicator, type NumberedBatch } from './deduplicator.ts'
import { createKnownIds } from './maps/known-ids.ts'

describe('views with serials', () => {
  test('are counted once, however often the log contains them', () => {
    const log = read()
    expect(log.views(view(1), view(2), view(1), view(2), view(3))).toEqual([1, 2, 3])
    expect(log.views(view(2), view(3), view(4))).toEqual([4])
    expect(log.gaps).toEqual([])
  })

  test('are counted even if another producer uses the same serials', () => {
    const log = read()
    expect(log.views(view(1, 'p'), view(1, 'q'), view(2, 'p'))).toEqual([1, 1, 2])
    expect(log.gaps).toEqual([])
  })

  test('that are missing are reported once as a gap', () => {
    const log = read()
    log.views(view(1), view(4))
    log.views(view(4), view(5))
    expect(log.gaps).toEqual([{ producer: 'p', from: 2, to: 3 }])
  })

  test("that are missing before a producer's first view are a gap", () => {
    const log = read()
    log.views(view(3))
    expect(log.gaps).toEqual([{ producer: 'p', from: 1, to: 2 }])
  })

  test("that are missing after a producer's last view are a gap once a successor names that producer", () => {
    const log = read()
    log.views(view(1, 'p'))
    log.views(view(1, 'q', { producer: 'p', serial: 3 }), view(1, 'r', { producer: 'p', serial: 3 }))
    expect(log.gaps).toEqual([{ producer: 'p', from: 2, to: 3 }])
    log.views(view(4, 'p'))
    expect(log.gaps).toHaveLength(1)
  })

  test('are counted even if another program names their producer as its predecessor, with a larger serial', () => {
    const log = read()
    log.views(view(1, 'p'))
    log.views(view(1, 'forged', { producer: 'p', serial: 1_000 }))
    expect(log.views(view(2, 'p'), view(3, 'p'))).toEqual([2, 3])
    expect(log.gaps).toEqual([{ producer: 'p', from: 2, to: 1_000 }])
  })

  test('are not a gap if the log or a dead letter contains them', () => {
    const log = read()
    log.apply({ views: [view(1), view(4)], rejected: [{ producer: 'p', from: 2, to: 3 }] })
    log.apply({ views: [], rejected: [{ producer: 'p', from: 5, to: 6 }] })
    log.views(view(7), view(1, 'q', { producer: 'p', serial: 7 }))
    expect(log.gaps).toEqual([])
    log.apply({ views: [view(12)], rejected: [{ producer: 'p', from: 9, to: 10 }] })
    expect(log.gaps).toEqual([
      { producer: 'p', from: 8, to: 8 },
      { producer: 'p', from: 11, to: 11 },
    ])
  })
})

describe('a log whose oldest messages have expired', () => {
  test("has no gap before a producer's first view", () => {
    const log = read()
    log.apply({ views: [view(7), view(9)], first: 100 })
    log.views(view(5, 'q', { producer: 'o', serial: 4 }))
    expect(log.gaps).toEqual([{ producer: 'p', from: 8, to: 8 }])
  })

  test('has a gap if the expired views were not counted', () => {
    const log = read()
    log.views(view(1))
    log.apply({ views: [view(5)], first: 100, through: 101 })
    expect(log.gaps).toEqual([{ producer: 'p', from: 2, to: 4 }])
  })
})

test('a producer whose last message has expired is forgotten', () => {
  const log = read()
  log.apply({ views: [view(1, 'p')], through: 10 })
  log.apply({ views: [view(1, 'q')], through: 20 })
  log.apply({ views: [], first: 11, through: 21 })
  log.views(view(1, 'p'), view(1, 'q'))
  expect(log.counted).toEqual([1, 1, 1])
})

test('if there are too many producers, those that have been silent the longest are forgotten', () => {
  const log = read(2)
  for (const producer of ['p', 'q', 'p', 'r']) log.views(view(1, producer))
  log.counted.length = 0
  log.views(view(1, 'p'), view(1, 'r'), view(1, 'q'))
  expect(log.counted).toEqual([1])
})

test('views without a serial are deduplicated by source and id; views without a source are all counted', () => {
  const log = read()
  const foreign = { ...view(1, '/importer'), serial: undefined }
  const old = { ...foreign, producer: undefined }
  expect(log.views(foreign, foreign, { ...foreign, id: 'other' }, old, old)).toHaveLength(4)
})

test('whatever the broker duplicates or loses, each view is counted once or reported as lost', () => {
  const fate = fc.record({ copies: fc.nat(3), repeats: fc.boolean() })
  fc.assert(
    fc.property(fc.array(fate, { minLength: 1, maxLength: 40 }), fc.integer({ min: 1, max: 7 }), (fates, size) => {
      const stored: View[] = []
      for (const [index, { copies, repeats }] of fates.entries()) {
        for (let copy = 0; copy < copies; copy += 1) stored.push(view(index + 1))
        if (repeats) stored.push(...stored.slice(-3))
      }
      stored.push(view(fates.length + 1))
      const log = read()
      for (let start = 0; start < stored.length; start += size) log.views(...stored.slice(start, start + size))
      const lost = log.gaps.flatMap(({ from, to }) => Array.from({ length: to - from + 1 }, (_, n) => from + n))
      expect([...log.counted, ...lost].toSorted((a, b) => a - b)).toEqual(
        Array.from({ length: fates.length + 1 }, (_, n) => n + 1),
      )
    }),
  )
})

function view(serial: number, producer = 'p', predecessor?: Predecessor): View {
  const at = '2026-11-20T21:00:00Z'
  return { id: `${producer}-${serial}`, assetId: 'a', userId: 'u', at, producer, serial, predecessor }
}

/** Creates a log reader that deduplicates each batch. */
function read(maxProducers?: number) {
  const deduplicate = createDeduplicator(
    { isComplete: true, producers: new Map(), knownIds: createKnownIds() },
    maxProducers,
  )
  const counted: number[] = []
  const gaps: SerialRange[] = []
  let through = 0
  function apply(batch: Pick<NumberedBatch, 'views'> & Partial<NumberedBatch>): number[] {
    const after = through
    through = batch.through ?? through + 1
    const applied = deduplicate({ after, ...batch, through })
    const serials = applied.views.map(({ serial = 0 }) => serial)
    counted.push(...serials)
    gaps.push(...applied.gaps)
    return serials
  }
  return { counted, gaps, apply, views: (...views: View[]) => apply({ views }) }
}
