import { describe, expect, test } from 'vitest'
import { batch } from './batches.test-suite.ts'
import type { Opened, Store } from './opened-store.test-suite.ts'

/** The conformance suite for recreated logs. */
export function describeIncarnations({ open }: Pick<Store, 'open'>) {
  describe('a new incarnation of the log', () => {
    const left = { incarnation: 'old', sequence: 2 }

    async function openOld(): Promise<Opened> {
      const opened = await open()
      await opened.counts.apply(batch('old', 0, 2, ['a', 'a']))
      return opened
    }

    test('is counted from its start, on top of the earlier counts', async () => {
      await using opened = await openOld()
      expect(await opened.counts.apply({ ...batch('new', 0, 1, ['a']), leaving: left })).toBeDefined()
      expect((await opened.counts.counts('asset', 'a'))?.views).toBe(3)
      expect(await opened.counts.position()).toEqual({ incarnation: 'new', sequence: 1 })
    })

    test('is rejected if its first batch does not start at the first message of the log', async () => {
      await using opened = await openOld()
      expect(await opened.counts.apply({ ...batch('new', 2, 3, ['a']), leaving: left })).toBeUndefined()
      expect(await opened.counts.position()).toEqual(left)
    })

    test.each([undefined, { incarnation: 'old', sequence: 1 }, { incarnation: 'older', sequence: 2 }])(
      'is rejected if the batch names %j as the position it replaces, instead of the current position',
      async (leaving) => {
        await using opened = await openOld()
        expect(await opened.counts.apply({ ...batch('new', 0, 1, ['a']), leaving })).toBeUndefined()
        expect(await opened.counts.position()).toEqual(left)
      },
    )

    test('supersedes the previous one, whose batches are then rejected', async () => {
      await using opened = await openOld()
      const { counts } = opened
      await counts.apply({ ...batch('new', 0, 1, ['a']), leaving: left })
      expect(await counts.apply(batch('old', 0, 2, ['a', 'a']))).toBeUndefined()
      expect(await counts.apply(batch('old', 2, 3, ['a']))).toBeUndefined()
      expect(await counts.apply(batch('new', 1, 2, ['a']))).toBeDefined()
      expect((await counts.counts('asset', 'a'))?.views).toBe(4)
    })
  })
}
