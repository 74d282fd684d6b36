import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Play } from '../../shared/contracts/play.ts'
import type { LogPosition } from '../../shared/contracts/position.ts'
import type { View } from '../../shared/contracts/view.ts'
import type { CountBatch } from '../count-store.ts'
import { createViewCounts, type ViewCounts } from './view-counts.ts'

const assets = ['a', 'b']
const users = ['u', 'v', 'constructor']
const play = fc.record({ assetId: fc.constantFrom(...assets), userId: fc.constantFrom(...users) })

test('each view in the log is counted exactly once, for any sequence of events', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80, size: 'max' }), (steps) => {
      const model = createModel()
      for (const step of steps) {
        model.take(step)
        model.check()
      }
      model.catchUp()
      model.check()
    }),
    { numRuns: 1_000 },
  )
})

test('counting a view returns the counts of its user and its asset, which include it', () => {
  const counts = createViewCounts()
  counts.count({ assetId: 'a', userId: 'u' })
  expect(counts.count({ assetId: 'a', userId: 'v' })).toEqual({ userviews: 1, assetviews: 2 })
})

describe('a new incarnation of the log', () => {
  const left = { incarnation: 'old', sequence: 2 }

  test('is counted from its start, on top of the earlier counts', () => {
    const counts = createOldCounts()
    expect(counts.apply({ ...batch('new', 0, 1, ['a']), leaving: left })).toBeDefined()
    expect(counts.views('asset', 'a')).toBe(3)
    expect(counts.position()).toEqual({ incarnation: 'new', sequence: 1 })
  })

  test('is rejected if the batch does not start at its beginning', () => {
    const counts = createOldCounts()
    expect(counts.apply({ ...batch('new', 2, 3, ['a']), leaving: left })).toBeUndefined()
    expect(counts.position()).toEqual(left)
  })

  test.each([undefined, { incarnation: 'old', sequence: 1 }, { incarnation: 'older', sequence: 2 }])(
    'is rejected if the batch names %j as the position it replaces, not the current one',
    (leaving) => {
      const counts = createOldCounts()
      expect(counts.apply({ ...batch('new', 0, 1, ['a']), leaving })).toBeUndefined()
      expect(counts.position()).toEqual(left)
    },
  )

  test('supersedes the previous one', () => {
    const counts = createOldCounts()
    counts.apply({ ...batch('new', 0, 1, ['a']), leaving: left })
    expect(counts.apply(batch('old', 0, 2, ['a', 'a']))).toBeUndefined()
    expect(counts.apply(batch('old', 2, 3, ['a']))).toBeUndefined()
    expect(counts.apply(batch('new', 1, 2, ['a']))).toBeDefined()
    expect(counts.views('asset', 'a')).toBe(4)
  })

  function createOldCounts(): ViewCounts {
    const counts = createViewCounts()
    counts.apply(batch('old', 0, 2, ['a', 'a']))
    return counts
  }
})

test('lost views are summed, with the last 100 gaps', () => {
  const counts = createViewCounts()
  for (let n = 1; n <= 101; n += 1) {
    const view = { id: 'x', assetId: 'a', userId: 'u', at: '2026-11-20T21:00:00Z', producer: 'p', serial: n * 3 }
    counts.apply({ incarnation: 'log', after: n - 1, through: n, views: [view] })
  }
  expect(counts.lost().views).toBe(202)
  expect(counts.lost().gaps).toHaveLength(100)
  expect(counts.lost().gaps.at(-1)).toEqual({ producer: 'p', from: 301, to: 302 })
})

test('the top list contains the first ids, sorted by views, then by id', () => {
  const view = fc.record({ assetId: fc.nat(30).map(String), userId: fc.constant('u') })
  const plays = fc.array(view, { maxLength: 100, size: 'max' })
  fc.assert(
    fc.property(plays, fc.integer({ min: 1, max: 12 }), (plays, limit) => {
      const counts = createViewCounts()
      for (const play of plays) counts.count(play)
      const all = Object.entries(Object.groupBy(plays, ({ assetId }) => assetId))
        .map(([id, some = []]) => ({ id, views: some.length }))
        .sort((a, b) => b.views - a.views || (a.id < b.id ? -1 : 1))
      expect(counts.top('asset', limit)).toEqual(all.slice(0, limit))
    }),
  )
})

type Step =
  | { append: Play[] }
  | { read: number; messages: number }
  | { post: number }
  | { forge: { log: number; after: number; messages: number } }
  | { countDirectly: Play }
  | 'wipe the log'
  | 'restart reporting'

const listener = fc.nat({ max: 2 })
const messages = fc.integer({ min: 1, max: 3 })

/** A message in the log has any number of views; a dead letter has none. */
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ append: fc.array(play, { maxLength: 3 }) }) },
  { weight: 8, arbitrary: fc.record({ read: listener, messages }) },
  { weight: 8, arbitrary: fc.record({ post: listener }) },
  { weight: 2, arbitrary: fc.record({ forge: fc.record({ log: fc.nat(3), after: fc.nat(4), messages }) }) },
  { weight: 1, arbitrary: fc.record({ countDirectly: play }) },
  { weight: 2, arbitrary: fc.constant('wipe the log' as const) },
  { weight: 1, arbitrary: fc.constant('restart reporting' as const) },
)

type Held = { log: number; after: number; through: number; leaving: LogPosition | undefined }

/**
 * A model with the incarnations of the log, of which the last one is current, and three queue-listeners, which may post
 * their last batch again, or late. A batch is counted if it starts at the position, or at the start of another
 * incarnation, if it names the position that it leaves.
 */
function createModel() {
  const logs: View[][][] = [[]]
  const held = new Map<number, Held>()
  let counts = createViewCounts()
  let position: { log: number; sequence: number } | undefined
  let counted: View[] = []
  let made = 0

  const current = () => logs.length - 1
  const lengthOf = (log: number) => logs[log]?.length ?? 0
  const toView = (play: Play): View => ({ ...play, id: String(++made), at: '2026-11-20T21:00:00Z' })

  function read(listener: number, messages: number) {
    const log = current()
    const from = counts.position()
    const after = from?.incarnation === nameOf(log) ? from.sequence : 0
    const through = Math.min(after + messages, lengthOf(log))
    const leaving = from?.incarnation === nameOf(log) ? undefined : from
    if (through > after) held.set(listener, { log, after, through, leaving })
  }

  function post({ log, after, through, leaving }: Held) {
    const views = logs[log]?.slice(after, through).flat() ?? []
    const isLeft = JSON.stringify(leaving) === JSON.stringify(counts.position())
    const isNext = log === position?.log ? after === position.sequence : after === 0 && isLeft
    const applied = counts.apply({ incarnation: nameOf(log), after, through, views, leaving })
    expect(applied).toEqual(isNext ? { views, gaps: [] } : undefined)
    if (!isNext) return
    counted.push(...views)
    position = { log, sequence: through }
  }

  function take(step: Step) {
    if (step === 'wipe the log') logs.push([])
    else if (step === 'restart reporting') {
      counts = createViewCounts()
      position = undefined
      counted = []
    } else if ('append' in step) logs.at(-1)?.push(step.append.map(toView))
    else if ('read' in step) read(step.read, step.messages)
    else if ('post' in step) {
      const batch = held.get(step.post)
      if (batch) post(batch)
    } else if ('forge' in step) {
      const { log, after, messages } = step.forge
      const through = Math.min(after + messages, lengthOf(log))
      if (through > after && log <= current()) post({ log, after, through, leaving: undefined })
    } else {
      counts.count(step.countDirectly)
      counted.push(toView(step.countDirectly))
    }
  }

  return {
    take,
    /** A single queue-listener forwards until everything is counted. */
    catchUp() {
      if (lengthOf(current()) === 0) return
      while (position?.log !== current() || position.sequence < lengthOf(current())) {
        const before = position
        take({ read: 0, messages: 2 })
        take({ post: 0 })
        expect(position).not.toEqual(before)
      }
      expect(counted).toEqual(expect.arrayContaining(logs.at(-1)?.flat() ?? []))
    },
    check() {
      expect(new Set(counted.map(({ id }) => id)).size).toBe(counted.length)
      expect(counts.position()).toEqual(position && { incarnation: nameOf(position.log), sequence: position.sequence })
      expect(viewsIn(counts)).toEqual({
        asset: assets.map((asset) => counted.filter(({ assetId }) => assetId === asset).length),
        user: users.map((user) => counted.filter(({ userId }) => userId === user).length),
      })
    },
  }
}

function nameOf(log: number): string {
  return `log-${log}`
}

function viewsIn(counts: ViewCounts) {
  return {
    asset: assets.map((id) => counts.views('asset', id) ?? 0),
    user: users.map((id) => counts.views('user', id) ?? 0),
  }
}

function batch(incarnation: string, after: number, through: number, assetIds: string[]): CountBatch {
  const views = assetIds.map((assetId) => ({ id: 'x', assetId, userId: 'u', at: '2026-11-20T21:00:00Z' }))
  return { incarnation, after, through, views }
}
