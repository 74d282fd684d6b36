import { describe, expect, test } from 'vitest'
import type { LogPosition } from '../shared/contracts/position.ts'
import { eventually } from '../tests/harness/eventually.ts'
import { batch } from './batches.test-suite.ts'
import type { LogReport } from './count-store.ts'
import type { Store } from './opened-store.test-suite.ts'

/** The conformance suite for reports about the end of the log. */
export function describeReports({ open }: Pick<Store, 'open'>) {
  describe('a report', () => {
    test('reaches every instance together with the position, whether it is sent alone or in a batch', async () => {
      const observed: [LogReport, LogPosition | undefined][] = []
      await using opened = await open((report, position) => observed.push([report, position]))
      const instances = 1 + opened.others.length
      const oldest = '2026-11-20T21:00:00.000Z'
      expect(await opened.counts.report({ incarnation: 'log', end: 5, oldest })).toBeUndefined()
      await eventually(() => expect(observed).toHaveLength(instances))
      await opened.counts.apply({ ...batch('log', 0, 3, ['a']), end: 5 })
      await eventually(() => expect(observed).toHaveLength(2 * instances))
      const position = { incarnation: 'log', sequence: 3 }
      expect(await opened.counts.report({ incarnation: 'log', end: 6 })).toEqual(position)
      await eventually(() => expect(observed).toHaveLength(3 * instances))
      expect(observed[0]).toMatchObject([{ incarnation: 'log', end: 5, oldest }, undefined])
      expect(observed[instances]).toMatchObject([{ incarnation: 'log', end: 5 }, position])
      expect(observed.at(-1)).toMatchObject([{ incarnation: 'log', end: 6 }, position])
    })

    test('in a rejected batch is ignored', async () => {
      const observed: LogReport[] = []
      await using opened = await open((report) => observed.push(report))
      expect(await opened.counts.apply({ ...batch('log', 4, 5, ['a']), end: 5 })).toBeUndefined()
      await opened.counts.report({ incarnation: 'log', end: 9 })
      await eventually(() => expect(observed).not.toEqual([]))
      expect(observed[0]).toMatchObject({ end: 9 })
    })
  })
}
