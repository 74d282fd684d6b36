import { expect, test } from 'vitest'
import { createRecentRecords } from '../shared/records/recent-records.ts'
import { type VerdictRecord, verdictCodec } from './verdict-record.ts'

const views: VerdictRecord[] = [
  { id: '1', incarnation: 'log', sequence: 1, clock: 5, state: 'rejected', reason: 'dead-letter' },
  ...['log', 'new "€" \ud800'].flatMap((incarnation): VerdictRecord[] => {
    const view = { incarnation, sequence: 2 ** 40, clock: 1.8e12, state: 'counted' as const }
    const play = { assetId: 'a'.repeat(128), userId: 'u', at: -6e13 }
    return [
      { id: `${incarnation}-2`, ...view, ...play, reason: undefined, because: undefined },
      { id: `${incarnation}-3`, ...view, ...play, reason: 'repeat', because: { id: '\0\udfff', at: 2.5e14 } },
    ]
  }),
]

test('a verdict is read as it was written', () => {
  const verdicts = createRecentRecords({ max: 10, codec: verdictCodec })
  for (const view of views) verdicts.add(view)
  expect(views.map(({ id }) => verdicts.find(id))).toEqual(views)
})

/** Besides its bytes, a record takes 8 bytes in its page, and 4 to 8 in the index. */
test('a verdict takes at most 100 bytes, even if its view does not qualify', () => {
  const verdicts = createRecentRecords({ max: 10_000, codec: verdictCodec })
  const id = '019aa3a4-11f0-7abc-8def-0123456789ab'
  const counted = {
    incarnation: '2026-11-20T21:00:00.123456789Z',
    sequence: 1,
    clock: 1.8e12,
    state: 'counted' as const,
  }
  const play = { assetId: '12345', userId: 'user-1234567', at: 1.8e12 }
  for (let n = 0; n < 10_000; n += 1) {
    verdicts.add({ id, ...counted, ...play, reason: 'repeat', because: { id, at: 1.8e12 } })
  }
  const bytes = verdicts.freeze().reduce((sum, page) => sum + page.bytes.length, 0)
  expect(bytes / 10_000).toBeLessThan(100)
})
