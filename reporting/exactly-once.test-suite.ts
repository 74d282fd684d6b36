import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Play } from '../shared/contracts/play.ts'
import type { LogPosition } from '../shared/contracts/position.ts'
import type { View } from '../shared/contracts/view.ts'
import { AT } from './batches.test-suite.ts'
import type { CountBatch, CountStore } from './count-store.ts'
import type { Store } from './opened-store.test-suite.ts'
import { startsAt } from './starts-at.ts'

const assets = ['a', 'b']
const users = ['u', 'v', 'constructor']
const play = fc.record({ assetId: fc.constantFrom(...assets), userId: fc.constantFrom(...users) })

/** The conformance suite for exactly-once counting, with concurrent queue-listeners and a log that is replaced. */
export function describeExactlyOnce({ open, isPersistent, numRuns }: Store) {
  test('each view in the log is counted exactly once, for any sequence of events', async () => {
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
}

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
 * A model of the log and three queue-listeners. The last incarnation of the log is the current one. A queue-listener
 * may post its last batch again, late, or concurrently with another batch. A batch is counted if it starts at the
 * position. The first batch of another incarnation is counted if it names the current position.
 */
async function createModel(open: Store['open'], isPersistent: boolean) {
  const logs: View[][][] = [[]]
  const held = new Map<number, Held>()
  let opened = await open()
  let position: LogPosition | undefined
  let counted: View[] = []
  let lastId = 0

  const current = () => logs.length - 1
  const lengthOf = (log: number) => logs[log]?.length ?? 0
  const toView = (play: Play): View => ({ ...play, id: String(++lastId), at: AT })
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

  /** Predicts which batches are counted if they arrive in this order. */
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

  /** Two concurrent batches are counted as if one of them had arrived first. */
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
    /** A single queue-listener forwards batches until everything is counted. */
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
