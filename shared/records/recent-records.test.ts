import fc from 'fast-check'
import { expect, test } from 'vitest'
import { eventCodec } from './event-codec.ts'
import { createRecentRecords, type RecentRecords } from './recent-records.ts'
import { PAGE_RECORDS } from './record-page.ts'

type Event = { id: string; assetId: string; userId: string; at: number }
const event = (id: string, at: number): Event => ({ id, assetId: `asset-${at % 7}`, userId: 'u', at })
const create = (max: number) => createRecentRecords({ max, codec: eventCodec })

const size = fc.oneof(fc.nat(20), fc.integer({ min: PAGE_RECORDS - 5, max: 3 * PAGE_RECORDS }))
/** A step adds this many events, or restores the records with at most this maximum. */
const step = fc.oneof(fc.record({ add: size }), fc.record({ restore: size }))

test('exactly the most recent events are found by their ids, even after a restore', () => {
  fc.assert(
    fc.property(size, fc.array(step, { maxLength: 6 }), fc.integer({ min: 1, max: 20_000 }), (first, steps, ids) => {
      let max = first
      let records = create(max)
      /** The events that must be found. */
      let model: Event[] = []
      let added = 0
      for (const step of steps) {
        if ('add' in step) {
          for (let n = 0; n < step.add; n += 1) {
            const next = event(`id-${(added * 7_919) % ids}`, added)
            added += 1
            records.add(next)
            model.push(next)
          }
        } else {
          const pages = records.freeze()
          max = Math.min(max, step.restore)
          records = create(max)
          for (const page of pages) records.restore(page)
        }
        model = max === 0 ? [] : model.slice(-max)
        expectSame(records, model, ids)
      }
    }),
    { numRuns: 30 },
  )
})

function expectSame(records: RecentRecords<Event>, model: Event[], ids: number): void {
  const byId = new Map(model.map((item) => [item.id, item]))
  expect(records.oldest()).toEqual(model[0])
  for (let n = 0; n < ids; n += Math.ceil(ids / 200)) expect(records.find(`id-${n}`)).toEqual(byId.get(`id-${n}`))
}

test('a frozen page does not change when events are added', () => {
  const records = create(10)
  for (let n = 0; n < 100; n += 1) records.add(event(`id-${n}`, n))
  const pages = records.freeze()
  for (let n = 0; n < 3 * PAGE_RECORDS; n += 1) records.add(event('x'.repeat(200), n))
  const restored = create(10)
  for (const page of pages) restored.restore(page)
  expect(restored.find('id-99')).toEqual(event('id-99', 99))
  expect(restored.oldest()).toEqual(event('id-90', 90))
})

test('changing a mark does not change a page that was frozen before', () => {
  const records = createRecentRecords({ max: 10, codec: eventCodec })
  const play = { assetId: 'a', userId: 'u', at: 0 }
  const [first = -1, second = -1] = ['1', '2'].map((id) => records.add({ ...play, id }))
  records.setMark(first, 7)
  const frozen = records.freeze()
  records.setMark(first, 8)
  records.setMark(second, 9)
  expect([first, second].map(records.mark)).toEqual([8, 9])
  expect(frozen.map(({ marks }) => [...(marks ?? [])])).toEqual([[7, 0]])
  const restored = createRecentRecords({ max: 10, codec: eventCodec })
  for (const page of frozen) restored.restore(page)
  expect(restored.mark(restored.locate('1')?.number ?? -1)).toBe(7)
})

test('records beyond the maximum are kept, in whole pages, as long as `keeps` accepts them', () => {
  const keeps = (old: { at: number }, newest: { at: number }) => newest.at - old.at <= 20_000
  const records = createRecentRecords({ max: 0, codec: eventCodec, keeps })
  for (let at = 0; at < 50_000; at += 1) records.add({ id: `${at}`, assetId: 'a', userId: 'u', at })
  expect(records.find('29999')).toMatchObject({ at: 29_999 })
  expect(records.find('20000')).toBeUndefined()
  expect(records.freeze().reduce((sum, { starts }) => sum + starts.length, 0)).toBeLessThan(20_000 + 3 * PAGE_RECORDS)
})
