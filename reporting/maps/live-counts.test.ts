import fc from 'fast-check'
import { beforeEach, expect, test, vi } from 'vitest'
import { LiveChanges, type LiveEvent, LiveSnapshot } from '../../shared/contracts/live.ts'
import type { Play } from '../../shared/contracts/play.ts'
import { applyChanges, dropOldSeconds } from '../../shared/live/reducer.ts'
import { createReplayBuffer, type NumberedEvent } from '../../shared/live/replay-buffer.ts'
import { useFakeClock } from '../../shared/testing/fake-clock.ts'
import { unlimited } from './capacity.ts'
import { createCountState } from './count-state.ts'
import { createLiveCounts, type LiveCounts } from './live-counts.ts'
import { createViewCounts } from './view-counts.ts'

const NOW = Date.parse('2026-11-20T21:00:00Z')

beforeEach(() => {
  useFakeClock()
  vi.setSystemTime(NOW)
})

test('a burst of views is published as one event', () => {
  const { count, events } = setUp()
  for (let n = 0; n < 100; n += 1) count(views({ count: 1, asset: `a${n % 2}`, ago: n % 3 }))
  vi.advanceTimersByTime(1_000)
  expect(events.slice(1)).toEqual([
    {
      event: 'changes',
      data: {
        views: 100,
        assets: { a0: 50, a1: 50 },
        users: { u: 100 },
        seconds: { [NOW / 1_000]: 34, [NOW / 1_000 - 1]: 33, [NOW / 1_000 - 2]: 33 },
        qualified: { total: 2, assets: { a0: 1, a1: 1 }, users: { u: 2 } },
        viewers: { a0: 1, a1: 1 },
      },
    },
  ])
})

test('an event contains only changes, and no event is published without changes', () => {
  const { count, events } = setUp()
  count(views({ asset: 'a', ago: 2 }))
  vi.advanceTimersByTime(1_000)
  count(views({ asset: 'b', ago: 1 }))
  vi.advanceTimersByTime(60_000)
  expect(events.slice(2)).toEqual([
    {
      event: 'changes',
      data: {
        views: 2,
        assets: { b: 1 },
        users: { u: 2 },
        seconds: { [NOW / 1_000]: 1 },
        qualified: { total: 2, assets: { b: 1 }, users: { u: 2 } },
        viewers: { b: 1 },
      },
    },
  ])
})

test('there are at most 4 events per second', async () => {
  const { count, times } = setUp()
  for (let ms = 0; ms < 1_900; ms += 10) {
    count(views({}))
    await vi.advanceTimersByTimeAsync(10)
  }
  const changes = times.slice(1)
  expect(changes).toHaveLength(8)
  for (const [n, time] of changes.slice(4).entries()) expect(time - Number(changes[n])).toBeGreaterThanOrEqual(1_000)
})

test('the snapshot includes the views counted before the subscription', () => {
  const counts = open()
  counts.count({ assetId: 'a', userId: 'u' })
  const events: LiveEvent[] = []
  counts.follow((event) => events.push(event))
  const data: LiveSnapshot = {
    views: 1,
    qualified: 0,
    top: {
      assets: [{ id: 'a', views: 1, qualified: 0, viewers: 0 }],
      users: [{ id: 'u', views: 1, qualified: 0 }],
    },
    seconds: { [NOW / 1_000]: 1 },
  }
  expect(events).toEqual([{ event: 'snapshot', data }])
})

test('a rejected batch publishes nothing', () => {
  const { apply, events } = setUp()
  expect(apply({ incarnation: 's', after: 5, through: 6, views: views({}) })).toBeUndefined()
  vi.advanceTimersByTime(1_000)
  expect(events).toHaveLength(1)
})

test('a snapshot is sent instead of changes if more than 1,000 ids changed', () => {
  const { count, events } = setUp()
  count(Array.from({ length: 600 }, (_, n) => view({ assetId: `a${n}`, userId: `u${n}` }, 0)))
  vi.advanceTimersByTime(1_000)
  count(Array.from({ length: 500 }, (_, n) => view({ assetId: `a${n}`, userId: `u${n}` }, 0)))
  vi.advanceTimersByTime(1_000)
  expect(events.map(({ event }) => event)).toEqual(['snapshot', 'snapshot', 'changes'])
})

test('nothing is published after the subscription ends', () => {
  const { count, events, end } = setUp()
  count(views({}))
  end()
  count(views({}))
  vi.advanceTimersByTime(1_000)
  expect(events).toHaveLength(1)
})

const id = (prefix: string) => fc.oneof(fc.nat(12), fc.nat(400)).map((n) => `${prefix}${n}`)
const play = fc.record({ assetId: id('a'), userId: id('u') })
const step = fc.oneof(
  fc.record({ batch: fc.array(fc.record({ play, ago: fc.nat(400) }), { maxLength: 100, size: 'max' }) }),
  fc.record({ many: fc.integer({ min: 300, max: 1_200 }) }),
  fc.record({ single: play }),
  fc.record({ ms: fc.integer({ min: 1, max: 1_000 }) }),
  fc.constant('disconnect or reconnect' as const),
)

test('a snapshot and changes add up to the counts, no matter when the subscriber disconnects', {
  timeout: 60_000,
}, () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40, size: 'max' }), (steps) => {
      vi.setSystemTime(NOW)
      const { counts, count, subscriber } = createModel()
      for (const step of steps) {
        if (step === 'disconnect or reconnect') subscriber.toggle()
        else if ('batch' in step) count(step.batch.map(({ play, ago }) => view(play, ago)))
        else if ('many' in step) count(toViews(step.many))
        else if ('single' in step) counts.count(step.single)
        else subscriber.wait(step.ms)
      }
      subscriber.catchUp()
      expect(subscriber.state()?.top).toEqual({
        assets: counts.top('asset', 'views', 10),
        users: counts.top('user', 'views', 10),
      })
      expect(subscriber.state()).toEqual(snapshotOf(counts))
    }),
    { numRuns: 100 },
  )
})

function open(): LiveCounts {
  // Creating an index of the default size would take longer than a test run.
  const state = createCountState({ kept: { verdicts: 5_000, keys: 5_000 } })
  return createLiveCounts(createViewCounts(unlimited, state), state)
}

/** Counts, a replay buffer that subscribes to them, and a subscriber that disconnects now and then. */
function createModel() {
  const counts = open()
  // These counts send no heartbeat, so the buffer must not treat them as stale during a pause.
  const buffer = createReplayBuffer(1_000, Number.POSITIVE_INFINITY)
  let sequence = 0
  let state: LiveSnapshot | undefined
  let lastEventId: string | undefined
  let isConnected = true

  function receive(event: NumberedEvent | undefined) {
    if (!event || !isConnected) return
    state = apply(state, event)
    lastEventId = event.id
  }

  counts.follow(buffer.add)
  receive(buffer.next())
  const subscriber = {
    state: () => state && dropOldSeconds(state),
    wait(ms: number) {
      vi.advanceTimersByTime(ms)
      receive(buffer.next())
    },
    toggle() {
      isConnected = !isConnected
      receive(buffer.since(lastEventId))
    },
    catchUp() {
      if (!isConnected) subscriber.toggle()
      subscriber.wait(1_000)
    },
  }
  const count = (views: ReturnType<typeof view>[]) =>
    counts.apply({ incarnation: 's', after: sequence, through: ++sequence, views })
  return { counts, count, subscriber }
}

function snapshotOf(counts: LiveCounts): LiveSnapshot | undefined {
  const events: LiveEvent[] = []
  counts.follow((event) => events.push(event))
  return events[0]?.event === 'snapshot' ? events[0].data : undefined
}

function toViews(users: number) {
  return Array.from({ length: users }, (_, n) => view({ assetId: 'a', userId: `m${n}` }, 1))
}

function apply(state: LiveSnapshot | undefined, { event, data }: LiveEvent): LiveSnapshot {
  if (event === 'snapshot') return LiveSnapshot.parse(JSON.parse(JSON.stringify(data)))
  if (!state) throw new Error('changes came before a snapshot')
  return applyChanges(state, LiveChanges.parse(JSON.parse(JSON.stringify(data))))
}

/** Counts with a subscription from the start, and the events that they publish. */
function setUp() {
  const counts = open()
  const events: LiveEvent[] = []
  const times: number[] = []
  const end = counts.follow((event) => {
    events.push(event)
    times.push(Date.now())
  })
  let sequence = 0
  return {
    events,
    times,
    end,
    apply: counts.apply,
    count(views: ReturnType<typeof view>[]) {
      counts.apply({ incarnation: 's', after: sequence, through: sequence + 1, views })
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
