import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { batch } from './batches.test-suite.ts'
import type { Store } from './opened-store.test-suite.ts'

/** The conformance suite for top lists. */
export function describeTopList({ open, numRuns }: Pick<Store, 'open' | 'numRuns'>) {
  describe('the top list', () => {
    test('contains the first ids, sorted by views, then by id', async () => {
      const id = fc.nat(30).map(String)
      await fc.assert(
        fc.asyncProperty(
          fc.array(id, { maxLength: 100, size: 'max' }),
          fc.integer({ min: 1, max: 12 }),
          async (ids, limit) => {
            await using opened = await open()
            for (const [n, part] of [ids.slice(0, 50), ids.slice(50)].entries())
              await opened.counts.apply(batch('log', n, n + 1, part))
            expect(await opened.counts.top('asset', 'views', limit)).toMatchObject(
              ranked(countsOf(ids)).slice(0, limit),
            )
          },
        ),
        { numRuns },
      )
    })

    test.each([
      ['uniform', () => Math.floor(Math.random() * 6_000)],
      ['skewed', () => Math.floor(Math.random() ** 4 * 6_000)],
      ['falling', (step: number) => 10_000 - Math.floor(step / 10)],
    ])('is exact for the first 1,000 of 6,000 %s ids', async (_, draw) => {
      await using opened = await open()
      const all: string[] = []
      for (let n = 0; n < 12; n += 1) {
        const ids = Array.from({ length: 5_000 }, (_, index) => `id-${draw(n * 5_000 + index)}`)
        all.push(...ids)
        await opened.counts.apply(batch('log', n, n + 1, ids))
        expect(await opened.counts.top('asset', 'views', 1_000)).toMatchObject(ranked(countsOf(all)).slice(0, 1_000))
      }
    })
  })
}

/** Counts how often each id occurs. */
export function countsOf(ids: string[]): Map<string, number> {
  const counts = new Map<string, number>()
  for (const id of ids) counts.set(id, (counts.get(id) ?? 0) + 1)
  return counts
}

/** Sorts counts in the order of a top list. */
export function ranked(counts: Map<string, number>) {
  return Array.from(counts, ([id, views]) => ({ id, views })).sort(
    (a, b) => b.views - a.views || (a.id < b.id ? -1 : 1),
  )
}
