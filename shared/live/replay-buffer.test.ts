import { expect, test, vi } from 'vitest'
import { type LiveChanges, type LiveEvent, type LiveSnapshot, MAX_LIVE_IDS } from '../contracts/live.ts'
import { useFakeClock } from '../testing/fake-clock.ts'
import { applyChanges } from './reducer.ts'
import { createReplayBuffer, type ReplayBuffer } from './replay-buffer.ts'

const KEEP_MS = 15_000

test('there is no event before the first snapshot', () => {
  const buffer = setUp()
  expect([buffer.next(), buffer.since(undefined)]).toEqual([undefined, undefined])
  buffer.add(changes({ assets: { a: 1 } }))
  expect([buffer.next(), buffer.since(undefined)]).toEqual([undefined, undefined])
})

test('all changes since the last event are merged into one event', () => {
  const buffer = setUp()
  buffer.add(snapshot({ views: 1 }))
  buffer.add(changes({ views: 2, assets: { a: 1 } }))
  expect(buffer.next()).toMatchObject({
    event: 'snapshot',
    data: { views: 2, top: { assets: [{ id: 'a', views: 1 }] } },
  })
  expect(buffer.next()).toBeUndefined()
  buffer.add(changes({ views: 3, assets: { a: 2 }, users: { u: 1 } }))
  buffer.add(changes({ views: 4, assets: { a: 3, b: 1 }, seconds: { '1': 1 } }))
  expect(buffer.next()).toMatchObject({
    event: 'changes',
    data: { views: 4, assets: { a: 3, b: 1 }, users: { u: 1 }, seconds: { '1': 1 } },
  })
  buffer.add(changes({ views: 5 }))
  buffer.add(snapshot({ views: 9 }))
  expect(buffer.next()).toMatchObject({ event: 'snapshot', data: { views: 9 } })
})

test('a heartbeat changes neither qualified views nor viewers', () => {
  const buffer = setUp()
  const qualified = { total: 3, assets: { a: 3 }, users: { u: 3 } }
  buffer.add(snapshot({ views: 1, qualified: 1 }))
  buffer.next()
  buffer.add(changes({ views: 4, assets: { a: 4 }, users: { u: 4 }, qualified, viewers: { a: 1 } }))
  buffer.add(changes({ views: 4 }))
  expect(buffer.next()?.data).toMatchObject({ views: 4, assets: { a: 4 }, qualified, viewers: { a: 1 } })
  expect(buffer.since(undefined)?.data).toMatchObject({
    qualified: 3,
    top: { assets: [{ id: 'a', views: 4, qualified: 3, viewers: 1 }], users: [{ id: 'u', views: 4, qualified: 3 }] },
  })
})

test('event ids have a random epoch and a sequence number', () => {
  const [buffer, other] = [setUp(), setUp()]
  const ids = [buffer, other].map((one) => {
    one.add(snapshot())
    return [one.next()?.id, publish(one, {})?.id].map((id) => String(id).split('-'))
  })
  const [[first, second] = [], [elsewhere] = []] = ids
  expect(first).toEqual([expect.stringMatching(/^[\da-f]{8}$/), '1'])
  expect(second).toEqual([first?.[0], '2'])
  expect(elsewhere?.[0]).not.toBe(first?.[0])
})

test('changes are replayed as long as they are buffered', async () => {
  const buffer = setUp()
  buffer.add(snapshot())
  const first = buffer.next()?.id
  const second = publish(buffer, { a: 1 })?.id
  await vi.advanceTimersByTimeAsync(KEEP_MS - 1)
  publish(buffer, { b: 1 })
  expect(buffer.since(first)).toMatchObject({ event: 'changes', data: { assets: { a: 1, b: 1 } } })
  await vi.advanceTimersByTimeAsync(1)
  const last = publish(buffer, { c: 1 })?.id
  expect(buffer.since(first)).toMatchObject({ event: 'snapshot', id: last })
  expect(buffer.since(second)).toMatchObject({ event: 'changes', id: last, data: { assets: { b: 1, c: 1 } } })
  expect(buffer.since(last)).toBeUndefined()
})

test.each([
  [MAX_LIVE_IDS, 'changes'],
  [MAX_LIVE_IDS + 1, 'snapshot'],
] as const)('%d changed ids are sent as %s', (count, event) => {
  const buffer = setUp()
  buffer.add(snapshot())
  buffer.next()
  const assets = Object.fromEntries(Array.from({ length: count - 1 }, (_, n) => [`a${n}`, 1]))
  buffer.add(changes({ assets, users: { u: 1 } }))
  expect(buffer.next()?.event).toBe(event)
})

test('a snapshot covers the last five minutes', async () => {
  const buffer = setUp()
  const now = 1_795_244_400
  vi.setSystemTime(now * 1_000)
  buffer.add(snapshot({ seconds: { [now - 300]: 1, [now - 299]: 2, [now]: 3 } }))
  expect(buffer.next()?.data.seconds).toEqual({ [now - 299]: 2, [now]: 3 })
  await vi.advanceTimersByTimeAsync(1_000)
  expect(buffer.since(undefined)?.data.seconds).toEqual({ [now]: 3 })
})

test('a cleared buffer starts over, but its ids continue', () => {
  const buffer = setUp()
  buffer.add(snapshot())
  const first = buffer.next()?.id
  publish(buffer, { a: 1 })
  buffer.add(changes({ assets: { b: 1 } }))
  buffer.clear()
  expect([buffer.next(), buffer.since(first)]).toEqual([undefined, undefined])
  buffer.add(snapshot())
  buffer.next()
  publish(buffer, { c: 1 })
  expect(buffer.since(first)?.event).toBe('snapshot')
})

test('the top list has the ten highest counts, with ties ordered by id', () => {
  const ids = ['b', 'a', 'k', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j']
  const counts = Object.fromEntries(ids.map((id) => [id, 1]))
  const { top } = applyChanges(snapshot().data, changes({ assets: { ...counts, z: 2 }, users: { u: 1 } }).data)
  expect(top.assets.map(({ id }) => id)).toEqual(['z', 'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i'])
  expect(top.users).toEqual([{ id: 'u', views: 1 }])
})

function setUp(): ReplayBuffer {
  useFakeClock()
  return createReplayBuffer(KEEP_MS, KEEP_MS)
}

function publish(buffer: ReplayBuffer, assets: Record<string, number>) {
  buffer.add(changes({ assets }))
  return buffer.next()
}

function snapshot(data: Partial<LiveSnapshot> = {}): Extract<LiveEvent, { event: 'snapshot' }> {
  return { event: 'snapshot', data: { views: 0, top: { assets: [], users: [] }, seconds: {}, ...data } }
}

function changes(data: Partial<LiveChanges>): Extract<LiveEvent, { event: 'changes' }> {
  return { event: 'changes', data: { views: 0, assets: {}, users: {}, seconds: {}, ...data } }
}
