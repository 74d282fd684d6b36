import fc from 'fast-check'
import { beforeEach, expect, test, vi } from 'vitest'
import { LiveChanges, type LiveEvent, LiveSnapshot } from '../shared/contracts/live.ts'
import type { Play } from '../shared/contracts/play.ts'
import { fold, withoutOldSeconds } from '../shared/live/reducer.ts'
import { createReplayBuffer, type NumberedEvent } from '../shared/live/replay-buffer.ts'
import { useFakeClock } from '../shared/testing/fake-clock.ts'
import { createLiveCounts, type LiveCounts } from './live-counts.ts'
import { createViewCounts } from './view-counts.ts'

const NOW = Date.parse('2026-11-20T21:00:00Z')

beforeEach(() => {
  useFakeClock()
  vi.setSystemTime(NOW)
})

test('many views at once are one event', () => {
  const { count, told } = open()
  for (let n = 0; n < 100; n += 1) count(views({ count: 1, asset: `a${n % 2}`, ago: n % 3 }))
  vi.advanceTimersByTime(1_000)
  expect(told.slice(1)).toEqual([
    {
      event: 'changes',
      data: {
        views: 100,
        assets: { a0: 50, a1: 50 },
        users: { u: 100 },
        seconds: { [NOW / 1_000]: 34, [NOW / 1_000 - 1]: 33, [NOW / 1_000 - 2]: 33 },
      },
    },
  ])
})

test('only what changed is told, and nothing where nothing did', () => {
  const { count, told } = open()
  count(views({ asset: 'a', ago: 2 }))
  vi.advanceTimersByTime(1_000)
  count(views({ asset: 'b', ago: 1 }))
  vi.advanceTimersByTime(60_000)
  expect(told.slice(2)).toEqual([
    {
      event: 'changes',
      data: { views: 2, assets: { b: 1 }, users: { u: 2 }, seconds: { [NOW / 1_000]: 1 } },
    },
  ])
})

test('there are at most 4 events a second', async () => {
  const { count, times } = open()
  for (let ms = 0; ms < 1_900; ms += 10) {
    count(views({}))
    await vi.advanceTimersByTimeAsync(10)
  }
  const changes = times.slice(1)
  expect(changes).toHaveLength(8)
  for (const [n, time] of changes.slice(4).entries()) expect(time - Number(changes[n])).toBeGreaterThanOrEqual(1_000)
})

test('views that were counted before somebody follows are in the snapshot', () => {
  const counts = createLiveCounts(createViewCounts())
  counts.count({ assetId: 'a', userId: 'u' })
  const told: LiveEvent[] = []
  counts.follow((event) => told.push(event))
  const data: LiveSnapshot = {
    views: 1,
    top: { assets: [{ id: 'a', views: 1 }], users: [{ id: 'u', views: 1 }] },
    seconds: { [NOW / 1_000]: 1 },
  }
  expect(told).toEqual([{ event: 'snapshot', data }])
})

test('a batch that is not applied changes nothing', () => {
  const { apply, told } = open()
  expect(apply({ stream: 's', after: 5, through: 6, views: views({}) })).toBe(false)
  vi.advanceTimersByTime(1_000)
  expect(told).toHaveLength(1)
})

test('where more than 1,000 ids changed a snapshot is told', () => {
  const { count, told } = open()
  count(Array.from({ length: 600 }, (_, n) => view({ assetId: `a${n}`, userId: `u${n}` }, 0)))
  vi.advanceTimersByTime(1_000)
  count(Array.from({ length: 500 }, (_, n) => view({ assetId: `a${n}`, userId: `u${n}` }, 0)))
  vi.advanceTimersByTime(1_000)
  expect(told.map(({ event }) => event)).toEqual(['snapshot', 'snapshot', 'changes'])
})

test('after the end nothing is told', () => {
  const { count, told, end } = open()
  count(views({}))
  end()
  count(views({}))
  vi.advanceTimersByTime(1_000)
  expect(told).toHaveLength(1)
})

const id = (prefix: string) => fc.oneof(fc.nat(12), fc.nat(400)).map((n) => `${prefix}${n}`)
const play = fc.record({ assetId: id('a'), userId: id('u') })
const step = fc.oneof(
  fc.record({ batch: fc.array(fc.record({ play, ago: fc.nat(400) }), { maxLength: 100, size: 'max' }) }),
  fc.record({ many: fc.integer({ min: 300, max: 1_200 }) }),
  fc.record({ single: play }),
  fc.record({ ms: fc.integer({ min: 1, max: 1_000 }) }),
  fc.constant('leave or come' as const),
)

test('snapshot and changes come to the counts, whenever who listens was away', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40, size: 'max' }), (steps) => {
      vi.setSystemTime(NOW)
      const { counts, count, listener } = createWorld()
      for (const step of steps) {
        if (step === 'leave or come') listener.leaveOrCome()
        else if ('batch' in step) count(step.batch.map(({ play, ago }) => view(play, ago)))
        else if ('many' in step) count(toViews(step.many))
        else if ('single' in step) counts.count(step.single)
        else listener.wait(step.ms)
      }
      listener.catchUp()
      expect(listener.state()?.top).toEqual({ assets: counts.top('asset', 10), users: counts.top('user', 10) })
      expect(listener.state()).toEqual(snapshotOf(counts))
    }),
    { numRuns: 100 },
  )
})

/** Counts that a journal takes down, and a listener to it who is there at times. */
function createWorld() {
  const counts = createLiveCounts(createViewCounts())
  const journal = createReplayBuffer(1_000)
  let sequence = 0
  let state: LiveSnapshot | undefined
  let lastEventId: string | undefined
  let isThere = true

  function hear(event: NumberedEvent | undefined) {
    if (!event || !isThere) return
    state = foldIn(state, event)
    lastEventId = event.id
  }

  counts.follow(journal.take)
  hear(journal.next())
  const listener = {
    state: () => state && withoutOldSeconds(state),
    wait(ms: number) {
      vi.advanceTimersByTime(ms)
      hear(journal.next())
    },
    leaveOrCome() {
      isThere = !isThere
      hear(journal.since(lastEventId))
    },
    catchUp() {
      if (!isThere) listener.leaveOrCome()
      listener.wait(1_000)
    },
  }
  const count = (views: ReturnType<typeof view>[]) =>
    counts.apply({ stream: 's', after: sequence, through: ++sequence, views })
  return { counts, count, listener }
}

function snapshotOf(counts: LiveCounts): LiveSnapshot | undefined {
  const told: LiveEvent[] = []
  counts.follow((event) => told.push(event))
  return told[0]?.event === 'snapshot' ? told[0].data : undefined
}

function toViews(users: number) {
  return Array.from({ length: users }, (_, n) => view({ assetId: 'a', userId: `m${n}` }, 1))
}

function foldIn(state: LiveSnapshot | undefined, { event, data }: LiveEvent): LiveSnapshot {
  if (event === 'snapshot') return LiveSnapshot.parse(JSON.parse(JSON.stringify(data)))
  if (!state) throw new Error('changes came before a snapshot')
  return fold(state, LiveChanges.parse(JSON.parse(JSON.stringify(data))))
}

/** Counts that are followed from the start. */
function open() {
  const counts = createLiveCounts(createViewCounts())
  const told: LiveEvent[] = []
  const times: number[] = []
  const end = counts.follow((event) => {
    told.push(event)
    times.push(Date.now())
  })
  let sequence = 0
  return {
    told,
    times,
    end,
    apply: counts.apply,
    count(views: ReturnType<typeof view>[]) {
      counts.apply({ stream: 's', after: sequence, through: sequence + 1, views })
      sequence += 1
    },
  }
}

function views({ count = 1, asset = 'a', ago = 0 }) {
  return Array.from({ length: count }, () => view({ assetId: asset, userId: 'u' }, ago))
}

function view(play: Play, secondsAgo: number) {
  return { ...play, id: 'x', at: new Date(Date.now() - secondsAgo * 1_000).toISOString() }
}
