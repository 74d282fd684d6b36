import fc from 'fast-check'
import { expect, test } from 'vitest'
import { AT, batch, view } from './batches.test-suite.ts'
import type { Store } from './opened-store.test-suite.ts'
import { createReference } from './reference.test-suite.ts'

/** The conformance suite for deduplication and gap detection. */
export function describeDeduplication({ open, numRuns }: Pick<Store, 'open' | 'numRuns'>) {
  test('every instance detects duplicates and gaps, however the log is divided into batches', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(numbered, { maxLength: 40, size: 'max' }), async (steps) => {
        await using opened = await open()
        const instances = [opened.counts, ...opened.others]
        const reference = createReference()
        let after = 0
        for (const { views, rejected, instance, retained } of steps) {
          const named = views.map((view, n) => ({
            ...view,
            assetId: 'a',
            userId: 'u',
            at: AT,
            id: view.id ?? `${after}-${n}`,
          }))
          const first = Math.max(1, after - retained)
          const batch = { incarnation: 'log', after, through: after + 1, views: named, rejected, first }
          after += 1
          expect(await instances[instance % instances.length]?.apply(batch)).toEqual(reference(batch))
        }
      }),
      { numRuns },
    )
  })

  test('lost views are summed, and the last 100 gaps are listed', async () => {
    await using opened = await open()
    for (let n = 1; n <= 101; n += 1) {
      await opened.counts.apply({
        ...batch('log', n - 1, n, []),
        views: [{ ...view('a'), producer: 'p', serial: n * 3 }],
      })
    }
    const { views, gaps } = await opened.counts.lost()
    expect([views, gaps.length]).toEqual([202, 100])
    expect(gaps.at(-1)).toEqual({ producer: 'p', from: 301, to: 302 })
  })

  test.each([
    ['NUL', '\0p\0'],
    ['quotes and backslashes', `'"\\{},$$;--`],
    ['a lone surrogate', 'p\ud800'],
    ['a different lone surrogate', 'p\ud801'],
    ['characters beyond ASCII', 'prodüzent 🎬 \u2028'],
    ['100,000 characters', 'x'.repeat(100_000)],
  ])("a producer's or a log's name may contain %s", async (_, name) => {
    await using opened = await open()
    const views = [
      { ...view('a'), producer: name, serial: 2, predecessor: { producer: `${name}!`, serial: 3 } },
      { ...view('a'), producer: name, id: name },
    ]
    const gaps = [
      { producer: name, from: 1, to: 1 },
      { producer: `${name}!`, from: 1, to: 3 },
    ]
    const first = { ...batch(name, 0, 1, []), views, end: 1 }
    expect(await opened.counts.apply(first)).toMatchObject({ views: views.map(({ id }) => ({ id })), gaps })
    expect(await opened.counts.position()).toEqual({ incarnation: name, sequence: 1 })
    for (const [index, counts] of [opened.counts, ...opened.others].entries()) {
      const repeated = { ...first, after: index + 1, through: index + 2 }
      expect(await counts.apply(repeated)).toMatchObject({ views: [], duplicates: 2, gaps: [] })
    }
    expect(await opened.counts.lost()).toEqual({ views: 4, gaps })
  })
}

const producer = fc.constantFrom('p', 'q', 'r', 's')
const numberedView = fc.oneof(
  fc.record({
    producer,
    serial: fc.integer({ min: 1, max: 12 }),
    predecessor: fc.option(fc.record({ producer, serial: fc.integer({ min: 1, max: 12 }) }), { nil: undefined }),
    id: fc.constant(undefined),
  }),
  fc.record({ producer, id: fc.constantFrom('x', 'y', 'z') }),
  fc.record({ id: fc.constant(undefined) }),
)
const numbered = fc.record({
  views: fc.array(numberedView, { maxLength: 4 }),
  rejected: fc.array(fc.record({ producer, from: fc.constant(2), to: fc.integer({ min: 2, max: 5 }) }), {
    maxLength: 1,
  }),
  instance: fc.nat(3),
  /** How far the oldest retained message precedes `after`; -1 if the log retains no message before this batch. */
  retained: fc.integer({ min: -1, max: 30 }),
})
