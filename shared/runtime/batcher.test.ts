import { setImmediate as turn } from 'node:timers/promises'
import { expect, test, vi } from 'vitest'
import { useFakeClock } from '../testing/fake-clock.ts'
import { turns } from '../testing/turns.ts'
import { createBatcher, TimedOutError } from './batcher.ts'

test('a single item runs in the next turn of the event loop', async () => {
  const { add, resolve, batches } = setUp()
  const added = add('a')
  await turn()
  expect(batches()).toEqual(['a'])
  await resolve(0, 'done')
  expect(await added).toBe('done')
})

test('concurrent items share a batch', async () => {
  const { add, resolve, batches } = setUp()
  const added = ['a', 'b', 'c'].map(add)
  await turns()
  expect(batches()).toEqual(['abc'])
  await resolve(0, 'done')
  expect(await Promise.all(added)).toEqual(['done', 'done', 'done'])
})

test('a batch waits while it grows, but only for a few turns of the event loop', async () => {
  const { add, batches } = setUp()
  void add('a')
  for (const item of 'bcdefghijk') {
    void add(item)
    await turn()
  }
  expect(batches()[0]?.length).toBeGreaterThan(3)
  expect(batches()[0]?.length).toBeLessThan(9)
})

test('items added while a batch is in flight form the next batch, in order, and share its result', async () => {
  const { add, resolve, batches } = setUp()
  const first = add('a')
  await turns()
  const added = ['b', 'c', 'd'].map(add)
  await turns()
  expect(batches()).toEqual(['a'])
  await resolve(0, 'first')
  expect(batches()).toEqual(['a', 'bcd'])
  await resolve(1, 'second')
  expect(await first).toBe('first')
  expect(await Promise.all(added)).toEqual(['second', 'second', 'second'])
  void add('e')
  await turns()
  expect(batches()).toEqual(['a', 'bcd', 'e'])
})

test('an item that is added right after a batch settles still runs', async () => {
  for (let microtasks = 0; microtasks < 10; microtasks += 1) {
    const { add, resolve, batches } = setUp()
    const first = add('a')
    await turns()
    const later = resolve(0, 'done')
    for (let n = 0; n < microtasks; n += 1) await undefined
    void add('b')
    await later
    await first
    expect(batches()).toEqual(['a', 'b'])
  }
})

test('a batch has at most maxItems items', async () => {
  const { add, resolve, batches } = setUp({ maxItems: 2 })
  const added = ['a', 'b', 'c', 'd', 'e'].map(add)
  await turns()
  for (const n of [0, 1, 2]) await resolve(n, String(n))
  expect(batches()).toEqual(['ab', 'cd', 'e'])
  expect(await Promise.all(added)).toEqual(['0', '0', '1', '1', '2'])
})

test("the next batch starts before the previous one's promises settle", async () => {
  const { add, resolve, batches } = setUp()
  const seen = add('a').then(batches)
  await turns()
  void add('b')
  await resolve(0, 'done')
  expect(await seen).toEqual(['a', 'b'])
})

test('a failure rejects every item in its batch, and the next batch runs', async () => {
  const { add, resolve, reject } = setUp()
  const added = Promise.allSettled(['a', 'b'].map(add))
  await turns()
  const last = add('c')
  await reject(0)
  await resolve(1, 'done')
  expect(await added).toMatchObject([{ reason: { message: 'broken' } }, { reason: { message: 'broken' } }])
  expect(await last).toBe('done')
})

test('a synchronous throw rejects like any other failure', async () => {
  const add = createBatcher<string, string>({
    ...limits,
    run([item]) {
      if (item === 'bad') throw new Error('broken')
      return Promise.resolve('done')
    },
  })
  const bad = expect(add('bad')).rejects.toThrow('broken')
  await turns()
  const good = add('good')
  await bad
  expect(await good).toBe('done')
})

test('a batch that exceeds its budget is aborted, but its items still get a late result', async () => {
  const { add, resolve, signal } = setUp()
  const added = add('a')
  await turns()
  await vi.advanceTimersByTimeAsync(99)
  expect(signal(0)?.aborted).toBe(false)
  await vi.advanceTimersByTimeAsync(1)
  expect(signal(0)?.reason).toBeInstanceOf(TimedOutError)
  await resolve(0, 'late')
  expect(await added).toBe('late')
})

test('the next batch starts when the previous one has settled, not when its budget ends', async () => {
  const { add, resolve, reject, batches } = setUp()
  const failed = expect(add('a')).rejects.toThrow()
  await turns()
  await vi.advanceTimersByTimeAsync(100)
  const added = add('b')
  expect(batches()).toEqual(['a'])
  await reject(0)
  await failed
  await resolve(1, 'done')
  expect(await added).toBe('done')
})

test('the time in the queue counts against the budget', async () => {
  const { add, resolve, signal } = setUp()
  void add('a')
  await turns()
  await vi.advanceTimersByTimeAsync(30)
  void add('b')
  await vi.advanceTimersByTimeAsync(60)
  await resolve(0, 'done')
  await vi.advanceTimersByTimeAsync(39)
  expect(signal(1)?.aborted).toBe(false)
  await vi.advanceTimersByTimeAsync(1)
  expect(signal(1)?.aborted).toBe(true)
})

test('a batch that spent its budget in the queue starts with an aborted signal', async () => {
  const { add, resolve, signal } = setUp()
  void add('a')
  await turns()
  void add('b')
  await vi.advanceTimersByTimeAsync(100)
  await resolve(0, 'done')
  expect(signal(1)?.reason).toBeInstanceOf(TimedOutError)
})

test('settled batches leave no timers', async () => {
  const { add, resolve, reject } = setUp()
  const first = add('a')
  await turns()
  const added = Promise.allSettled([first, add('b')])
  await resolve(0, 'done')
  await reject(1)
  await added
  expect(vi.getTimerCount()).toBe(0)
})

const limits = { maxItems: 100, budgetMs: 100 }

/** A batcher with a fake clock. The test settles its batches. */
function setUp(options: Partial<typeof limits> = {}) {
  useFakeClock()
  const runs: { items: string[]; signal: AbortSignal; settled: PromiseWithResolvers<string> }[] = []
  const add = createBatcher<string, string>({
    ...limits,
    ...options,
    run(items, signal) {
      const settled = Promise.withResolvers<string>()
      runs.push({ items, signal, settled })
      return settled.promise
    },
  })
  return {
    add,
    batches: () => runs.map(({ items }) => items.join('')),
    signal: (n: number) => runs[n]?.signal,
    async resolve(n: number, result: string) {
      runs[n]?.settled.resolve(result)
      await turns()
    },
    async reject(n: number) {
      runs[n]?.settled.reject(new Error('broken'))
      await turns()
    },
  }
}
