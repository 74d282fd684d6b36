import { setTimeout as sleep } from 'node:timers/promises'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { LIVE_TOP, type LiveEvent, type LiveSnapshot } from '../shared/contracts/live.ts'
import type { Play } from '../shared/contracts/play.ts'
import type { LogPosition } from '../shared/contracts/position.ts'
import type { View } from '../shared/contracts/view.ts'
import { applyChanges, dropOldSeconds } from '../shared/live/reducer.ts'
import { eventually } from '../tests/harness/eventually.ts'
import type { CountBatch, CountStore, LogReport, ReportObserver } from './count-store.ts'
import { createReference } from './reference.test-suite.ts'
import { startsAt } from './starts-at.ts'

/** A store, and what else uses the same data. */
export type Opened = AsyncDisposable & {
  counts: CountStore
  /** Other instances over the same data. */
  others: CountStore[]
  /** Replaces all instances, as a restart would. */
  restart(): Promise<Opened>
}

type Store = {
  /** Opens an empty store. */
  open(onReport?: ReportObserver): Promise<Opened>
  /** True if the counts survive a restart. */
  isPersistent: boolean
  /** Runs of each property. */
  numRuns: number
}

const AT = '2026-11-20T21:00:00Z'
const assets = ['a', 'b']
const users = ['u', 'v', 'constructor']
const play = fc.record({ assetId: fc.constantFrom(...assets), userId: fc.constantFrom(...users) })

/** The conformance suite of count stores. */
export function describeCountStore({ open, isPersistent, numRuns }: Store) {
  test('each view in the log is counted exactly once, for any sequence of events', { timeout: 60_000 }, async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 80, size: 'max' }), async (steps) => {
        await using model = await createModel(open, isPersistent)
        for (const step of steps) {
          await model.take(step)
          await model.check()
        }
        await model.catchUp()
        await model.check()
      }),
      { numRuns },
    )
  })

  test('duplicates and gaps are found whatever the batches are, and whichever instance takes them', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(numbered, { maxLength: 40, size: 'max' }), async (steps) => {
        await using opened = await open()
        const instances = [opened.counts, ...opened.others]
        const reference = createReference()
        let after = 0
        for (const { views, rejected, instance, expired } of steps) {
          const named = views.map((view, n) => ({
            ...view,
            assetId: 'a',
            userId: 'u',
            at: AT,
            id: view.id ?? `${after}-${n}`,
          }))
          const first = Math.max(1, after - expired)
          const batch = { incarnation: 'log', after, through: after + 1, views: named, rejected, first }
          after += 1
          expect(await instances[instance % instances.length]?.apply(batch)).toEqual(reference(batch))
        }
      }),
      { numRuns },
    )
  })

  test('counting a view returns the counts of its user and its asset, which include it', async () => {
    await using opened = await open()
    await opened.counts.count({ assetId: 'a', userId: 'u' })
    expect(await opened.counts.count({ assetId: 'a', userId: 'v' })).toEqual({ userviews: 1, assetviews: 2 })
  })

  test('a lookup contains every id once, with 0 for ids without views', async () => {
    await using opened = await open()
    await opened.counts.apply(batch('log', 0, 1, ['null', 'a', 'a', 'NULL', 'constructor']))
    expect(await opened.counts.lookUp({ assets: ['a', 'null', 'x', 'constructor'], users: ['u', 'a'] })).toEqual({
      assets: { a: 2, null: 1, x: 0, constructor: 1 },
      users: { u: 5, a: 0 },
    })
    expect(await opened.counts.lookUp({ assets: [], users: [] })).toEqual({ assets: {}, users: {} })
    expect((await opened.counts.counts('asset', 'x'))?.views).toBeUndefined()
    expect([await opened.counts.size('asset'), await opened.counts.size('user')]).toEqual([4, 1])
  })

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

    test('is rejected if the batch does not start at its beginning', async () => {
      await using opened = await openOld()
      expect(await opened.counts.apply({ ...batch('new', 2, 3, ['a']), leaving: left })).toBeUndefined()
      expect(await opened.counts.position()).toEqual(left)
    })

    test.each([undefined, { incarnation: 'old', sequence: 1 }, { incarnation: 'older', sequence: 2 }])(
      'is rejected if the batch names %j as the position it replaces, not the current one',
      async (leaving) => {
        await using opened = await openOld()
        expect(await opened.counts.apply({ ...batch('new', 0, 1, ['a']), leaving })).toBeUndefined()
        expect(await opened.counts.position()).toEqual(left)
      },
    )

    test('supersedes the previous one', async () => {
      await using opened = await openOld()
      const { counts } = opened
      await counts.apply({ ...batch('new', 0, 1, ['a']), leaving: left })
      expect(await counts.apply(batch('old', 0, 2, ['a', 'a']))).toBeUndefined()
      expect(await counts.apply(batch('old', 2, 3, ['a']))).toBeUndefined()
      expect(await counts.apply(batch('new', 1, 2, ['a']))).toBeDefined()
      expect((await counts.counts('asset', 'a'))?.views).toBe(4)
    })
  })

  test('lost views are summed, with the last 100 gaps', async () => {
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
    ['another lone surrogate', 'p\ud801'],
    ['characters beyond ASCII', 'prodüzent 🎬 \u2028'],
    ['100,000 characters', 'x'.repeat(100_000)],
  ])('the name of a producer or a log may contain %s', async (_, name) => {
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
    ])('is exact for the first 1,000 of 6,000 ids that are %s', async (_, draw) => {
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

  describe('a report', () => {
    test('is observed by every instance with the position, as is the one in a batch', async () => {
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

    test('is not taken from a batch that is rejected', async () => {
      const observed: LogReport[] = []
      await using opened = await open((report) => observed.push(report))
      expect(await opened.counts.apply({ ...batch('log', 4, 5, ['a']), end: 5 })).toBeUndefined()
      await opened.counts.report({ incarnation: 'log', end: 9 })
      await eventually(() => expect(observed).not.toEqual([]))
      expect(observed[0]).toMatchObject({ end: 9 })
    })
  })

  describe('live counts', () => {
    test('a snapshot includes earlier views, and changes follow on every instance', async () => {
      await using opened = await open()
      const at = new Date().toISOString()
      const second = Math.floor(Date.parse(at) / 1_000)
      await opened.counts.apply({ ...batch('log', 0, 1, []), views: [{ ...view('a'), at }] })
      const subscribers = [opened.counts, ...opened.others].map(subscribe)
      await eventually(() => expect(subscribers.map(({ events }) => events.length)).toEqual(subscribers.map(() => 1)))
      await opened.counts.apply({ ...batch('log', 1, 2, []), views: [{ ...view('b'), at }] })
      await opened.counts.count({ assetId: 'b', userId: 'v' })
      for (const { events, state, end } of subscribers) {
        await eventually(() => expect(state()?.views).toBe(3))
        const data = {
          views: 1,
          qualified: 1,
          top: {
            assets: [{ id: 'a', views: 1, qualified: 1, viewers: 1 }],
            users: [{ id: 'u', views: 1, qualified: 1 }],
          },
          seconds: { [second]: 1 },
        }
        expect(events[0]).toEqual({ event: 'snapshot', data })
        expect(events.slice(1).every(({ event }) => event === 'changes')).toBe(true)
        expect(events.flatMap(({ data }) => ('assets' in data ? Object.keys(data.assets) : []))).not.toContain('a')
        end()
      }
    })

    test('a snapshot is sent if more than 1,000 ids changed', async () => {
      await using opened = await open()
      const { events, end } = subscribe(opened.counts)
      await eventually(() => expect(events).toHaveLength(1))
      const ids = Array.from({ length: 1_001 }, (_, n) => `a${n}`)
      await opened.counts.apply(batch('log', 0, 1, ids))
      await eventually(() => expect(events).toHaveLength(2))
      await opened.counts.apply(batch('log', 1, 2, ids.slice(0, 999)))
      await eventually(() => expect(events).toHaveLength(3))
      expect(events.map(({ event }) => event)).toEqual(['snapshot', 'snapshot', 'changes'])
      end()
    })

    test('a burst of views is at most 4 events per second, and nothing is published after the end', async () => {
      await using opened = await open()
      const { events, end } = subscribe(opened.counts)
      const ends = performance.now() + 1_000
      let sequence = 0
      while (performance.now() < ends) {
        await opened.counts.apply(batch('log', sequence, ++sequence, ['a']))
        await sleep(5)
      }
      expect(events.length).toBeLessThanOrEqual(6)
      expect(events.length).toBeGreaterThanOrEqual(3)
      end()
      const published = events.length
      await opened.counts.apply(batch('log', sequence, ++sequence, ['a']))
      await sleep(600)
      expect(events).toHaveLength(published)
    })

    test('a snapshot and changes add up to the counts', async () => {
      const ids = fc.array(
        fc.nat(400).map((n) => `a${n}`),
        { maxLength: 100, size: 'max' },
      )
      await fc.assert(
        fc.asyncProperty(fc.array(ids, { minLength: 1, maxLength: 10 }), async (batches) => {
          await using opened = await open()
          const { state, end } = subscribe(opened.others[0] ?? opened.counts)
          const at = new Date().toISOString()
          for (const [n, ids] of batches.entries()) {
            await opened.counts.apply({ ...batch('log', n, n + 1, []), views: ids.map((id) => ({ ...view(id), at })) })
            if (n === 4) await eventually(() => expect(state()).toBeDefined())
          }
          const all = batches.flat()
          await eventually(() => expect(state()?.views).toBe(all.length))
          expect(state()?.top.assets).toMatchObject(ranked(countsOf(all)).slice(0, LIVE_TOP))
          const seconds = Object.values(dropOldSeconds(state() ?? empty).seconds)
          expect(seconds.reduce((sum, views) => sum + views, 0)).toBe(all.length)
          end()
        }),
        { numRuns: 5 },
      )
    })
  })

  test(`the counts ${isPersistent ? 'survive' : 'do not survive'} a restart`, async () => {
    await using opened = await open()
    const views = [{ ...view('a'), producer: 'p', serial: 2 }]
    await opened.counts.apply({ ...batch('log', 0, 1, []), views })
    await using restarted = await opened.restart()
    const { counts } = restarted
    expect((await counts.counts('asset', 'a'))?.views).toBe(isPersistent ? 1 : undefined)
    expect(await counts.position()).toEqual(isPersistent ? { incarnation: 'log', sequence: 1 } : undefined)
    expect((await counts.lost()).views).toBe(isPersistent ? 1 : 0)
    expect(await counts.top('asset', 'views', 1)).toMatchObject(isPersistent ? [{ id: 'a', views: 1 }] : [])
    const again = await counts.apply({ ...batch('log', 1, 2, []), views })
    expect(again && [again.views, again.duplicates]).toEqual(isPersistent ? [[], 1] : undefined)
  })
}

const empty: LiveSnapshot = { views: 0, top: { assets: [], users: [] }, seconds: {} }

function subscribe(counts: CountStore) {
  const events: LiveEvent[] = []
  let state: LiveSnapshot | undefined
  const end = counts.follow((event) => {
    events.push(event)
    if (event.event === 'snapshot') state = event.data
    else if (state) state = applyChanges(state, event.data)
  })
  return { events, state: () => state, end }
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
  /** How many messages before this batch the log still has. */
  expired: fc.integer({ min: -1, max: 30 }),
})

type Step =
  | { append: Play[] }
  | { read: number; messages: number }
  | { post: number; instance: number }
  | { race: [number, number] }
  | { forge: { log: number; after: number; messages: number } }
  | { countDirectly: Play }
  | 'wipe the log'
  | 'restart'

const listener = fc.nat({ max: 2 })
const messages = fc.integer({ min: 1, max: 3 })

/** A message in the log has any number of views; a dead letter has none. */
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ append: fc.array(play, { maxLength: 3 }) }) },
  { weight: 8, arbitrary: fc.record({ read: listener, messages }) },
  { weight: 6, arbitrary: fc.record({ post: listener, instance: fc.nat(3) }) },
  { weight: 3, arbitrary: fc.record({ race: fc.tuple(listener, listener) }) },
  { weight: 2, arbitrary: fc.record({ forge: fc.record({ log: fc.nat(3), after: fc.nat(4), messages }) }) },
  { weight: 1, arbitrary: fc.record({ countDirectly: play }) },
  { weight: 2, arbitrary: fc.constant('wipe the log' as const) },
  { weight: 1, arbitrary: fc.constant('restart' as const) },
)

type Held = { log: number; after: number; through: number; leaving: LogPosition | undefined }

/**
 * A model with the incarnations of the log, of which the last one is current, and three queue-listeners, which may post
 * their last batch again, late, or at the same time. A batch is counted if it starts at the position, or at the start of
 * another incarnation, if it names the position that it leaves.
 */
async function createModel(open: Store['open'], isPersistent: boolean) {
  const logs: View[][][] = [[]]
  const held = new Map<number, Held>()
  let opened = await open()
  let position: LogPosition | undefined
  let counted: View[] = []
  let made = 0

  const current = () => logs.length - 1
  const lengthOf = (log: number) => logs[log]?.length ?? 0
  const toView = (play: Play): View => ({ ...play, id: String(++made), at: AT })
  const instance = (n: number) => {
    const instances = [opened.counts, ...opened.others]
    return instances[n % instances.length] ?? opened.counts
  }

  async function read(listener: number, messages: number) {
    const log = current()
    const from = await opened.counts.position()
    const after = from?.incarnation === nameOf(log) ? from.sequence : 0
    const through = Math.min(after + messages, lengthOf(log))
    const leaving = from?.incarnation === nameOf(log) ? undefined : from
    if (through > after) held.set(listener, { log, after, through, leaving })
  }

  function toBatch({ log, ...rest }: Held): CountBatch {
    return { ...rest, incarnation: nameOf(log), views: logs[log]?.slice(rest.after, rest.through).flat() ?? [] }
  }

  /** Takes the batches in this order, and returns whether each is counted. */
  function predict(batches: CountBatch[]): boolean[] {
    let at = position
    return batches.map((batch) => {
      const isNext = startsAt(at, batch)
      if (isNext) at = { incarnation: batch.incarnation, sequence: batch.through }
      return isNext
    })
  }

  function accept(batch: CountBatch) {
    counted.push(...batch.views)
    position = { incarnation: batch.incarnation, sequence: batch.through }
  }

  async function post(batch: CountBatch, counts: CountStore) {
    const [isNext] = predict([batch])
    const applied = await counts.apply(batch)
    expect(applied?.views.map(({ id }) => id)).toEqual(isNext ? batch.views.map(({ id }) => id) : undefined)
    if (isNext) accept(batch)
  }

  /** Two batches at once are counted as if one of them had come first. */
  async function race(first: CountBatch, second: CountBatch) {
    const applied = await Promise.all([instance(0).apply(first), instance(1).apply(second)])
    const outcome = applied.map((deduplicated) => deduplicated !== undefined)
    const forwards = predict([first, second])
    const backwards = predict([second, first]).toReversed()
    expect([forwards, backwards]).toContainEqual(outcome)
    const inOrder = String(outcome) === String(forwards) ? [0, 1] : [1, 0]
    for (const index of inOrder) {
      const batch = [first, second][index]
      if (outcome[index] && batch) accept(batch)
    }
  }

  async function take(step: Step) {
    if (step === 'wipe the log') logs.push([])
    else if (step === 'restart') {
      opened = await opened.restart()
      if (isPersistent) return
      position = undefined
      counted = []
    } else if ('append' in step) logs.at(-1)?.push(step.append.map(toView))
    else if ('read' in step) await read(step.read, step.messages)
    else if ('post' in step) {
      const batch = held.get(step.post)
      if (batch) await post(toBatch(batch), instance(step.instance))
    } else if ('race' in step) {
      const [first, second] = step.race.map((listener) => held.get(listener))
      if (first && second) await race(toBatch(first), toBatch(second))
    } else if ('forge' in step) {
      const { log, after, messages } = step.forge
      const through = Math.min(after + messages, lengthOf(log))
      if (through > after && log <= current())
        await post(toBatch({ log, after, through, leaving: undefined }), opened.counts)
    } else {
      await opened.counts.count(step.countDirectly)
      counted.push(toView(step.countDirectly))
    }
  }

  return {
    take,
    /** A single queue-listener forwards until everything is counted. */
    async catchUp() {
      if (lengthOf(current()) === 0) return
      while (position?.incarnation !== nameOf(current()) || position.sequence < lengthOf(current())) {
        const before = position
        await take({ read: 0, messages: 2 })
        await take({ post: 0, instance: 0 })
        expect(position).not.toEqual(before)
      }
      expect(counted).toEqual(expect.arrayContaining(logs.at(-1)?.flat() ?? []))
    },
    async check() {
      expect(new Set(counted.map(({ id }) => id)).size).toBe(counted.length)
      for (const counts of [opened.counts, ...opened.others]) {
        expect(await counts.position()).toEqual(position)
        expect(await counts.lookUp({ assets, users })).toEqual({
          assets: Object.fromEntries(assets.map((id) => [id, counted.filter(({ assetId }) => assetId === id).length])),
          users: Object.fromEntries(users.map((id) => [id, counted.filter(({ userId }) => userId === id).length])),
        })
      }
    },
    [Symbol.asyncDispose]: () => opened[Symbol.asyncDispose](),
  }
}

function nameOf(log: number): string {
  return `log-${log}`
}

function view(assetId: string): View {
  return { id: 'x', assetId, userId: 'u', at: AT }
}

function batch(incarnation: string, after: number, through: number, assetIds: string[]): CountBatch {
  return { incarnation, after, through, views: assetIds.map(view) }
}

function countsOf(ids: string[]): Map<string, number> {
  const counts = new Map<string, number>()
  for (const id of ids) counts.set(id, (counts.get(id) ?? 0) + 1)
  return counts
}

function ranked(counts: Map<string, number>) {
  return Array.from(counts, ([id, views]) => ({ id, views })).sort(
    (a, b) => b.views - a.views || (a.id < b.id ? -1 : 1),
  )
}
