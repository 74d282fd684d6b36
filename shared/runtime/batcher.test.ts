import { setImmediate as turn } from 'node:timers/promises'
import { expect, test, vi } from 'vitest'
import { createBatcher, TimedOutError } from './batcher.ts'
import { useFakeClock } from '../testing/fake-clock.ts'

test('a single item waits for no other', async () => {
  const { add, end, groups } = open()
  const added = add('a')
  await turn()
  expect(groups()).toEqual(['a'])
  await end(0, 'done')
  expect(await added).toBe('done')
})

test('what comes at once goes together', async () => {
  const { add, end, groups } = open()
  const added = ['a', 'b', 'c'].map(add)
  await turn()
  expect(groups()).toEqual(['abc'])
  await end(0, 'done')
  expect(await Promise.all(added)).toEqual(['done', 'done', 'done'])
})

test('what comes while a group is under way forms the next, in order, with one result', async () => {
  const { add, end, groups } = open()
  const first = add('a')
  await turn()
  const added = ['b', 'c', 'd'].map(add)
  await turn()
  expect(groups()).toEqual(['a'])
  await end(0, 'first')
  expect(groups()).toEqual(['a', 'bcd'])
  await end(1, 'second')
  expect(await first).toBe('first')
  expect(await Promise.all(added)).toEqual(['second', 'second', 'second'])
  void add('e')
  await turn()
  expect(groups()).toEqual(['a', 'bcd', 'e'])
})

test('a group has no more items than it may', async () => {
  const { add, end, groups } = open({ maxItems: 2 })
  const added = ['a', 'b', 'c', 'd', 'e'].map(add)
  await turn()
  for (const n of [0, 1, 2]) await end(n, String(n))
  expect(groups()).toEqual(['ab', 'cd', 'e'])
  expect(await Promise.all(added)).toEqual(['0', '0', '1', '1', '2'])
})

test('the next group is on its way when those of the last hear of their result', async () => {
  const { add, end, groups } = open()
  const seen = add('a').then(groups)
  await turn()
  void add('b')
  await end(0, 'done')
  expect(await seen).toEqual(['a', 'b'])
})

test('a failure reaches all of a group, and the next goes on', async () => {
  const { add, end, fail } = open()
  const added = Promise.allSettled(['a', 'b'].map(add))
  await turn()
  const last = add('c')
  await fail(0)
  await end(1, 'done')
  expect(await added).toMatchObject([{ reason: { message: 'broken' } }, { reason: { message: 'broken' } }])
  expect(await last).toBe('done')
})

test('a run that throws at once fails like any other', async () => {
  const add = createBatcher<string, string>({
    ...limits,
    run([item]) {
      if (item === 'bad') throw new Error('broken')
      return Promise.resolve('done')
    },
  })
  const bad = expect(add('bad')).rejects.toThrow('broken')
  await turn()
  const good = add('good')
  await bad
  expect(await good).toBe('done')
})

test('a run that takes too long is told to end, and its items get what comes of it', async () => {
  const { add, end, signal } = open()
  const added = add('a')
  await turn()
  await vi.advanceTimersByTimeAsync(99)
  expect(signal(0)?.aborted).toBe(false)
  await vi.advanceTimersByTimeAsync(1)
  expect(signal(0)?.reason).toBeInstanceOf(TimedOutError)
  await end(0, 'done otherwise')
  expect(await added).toBe('done otherwise')
})

test('the next group starts when the run has ended, not when its time is over', async () => {
  const { add, end, fail, groups } = open()
  const failed = expect(add('a')).rejects.toThrow()
  await turn()
  await vi.advanceTimersByTimeAsync(100)
  const added = add('b')
  expect(groups()).toEqual(['a'])
  await fail(0)
  await failed
  await end(1, 'done')
  expect(await added).toBe('done')
})

test('the time that an item waits is part of its time', async () => {
  const { add, end, signal } = open()
  void add('a')
  await turn()
  await vi.advanceTimersByTimeAsync(30)
  void add('b')
  await vi.advanceTimersByTimeAsync(60)
  await end(0, 'done')
  await vi.advanceTimersByTimeAsync(39)
  expect(signal(1)?.aborted).toBe(false)
  await vi.advanceTimersByTimeAsync(1)
  expect(signal(1)?.aborted).toBe(true)
})

test('a group whose time is over before its turn is told so from the start', async () => {
  const { add, end, signal } = open()
  void add('a')
  await turn()
  void add('b')
  await vi.advanceTimersByTimeAsync(100)
  await end(0, 'done')
  expect(signal(1)?.reason).toBeInstanceOf(TimedOutError)
})

test('what is done leaves no timer', async () => {
  const { add, end, fail } = open()
  const first = add('a')
  await turn()
  const added = Promise.allSettled([first, add('b')])
  await end(0, 'done')
  await fail(1)
  await added
  expect(vi.getTimerCount()).toBe(0)
})

const limits = { maxItems: 100, budgetMs: 100 }

/** A batcher whose groups end when the test says so, under a clock that stands still. A group starts with a turn of the loop. */
function open(options: Partial<typeof limits> = {}) {
  useFakeClock()
  const runs: { items: string[]; signal: AbortSignal; ended: PromiseWithResolvers<string> }[] = []
  const add = createBatcher<string, string>({
    ...limits,
    ...options,
    run(items, signal) {
      const ended = Promise.withResolvers<string>()
      runs.push({ items, signal, ended })
      return ended.promise
    },
  })
  return {
    add,
    groups: () => runs.map(({ items }) => items.join('')),
    signal: (n: number) => runs[n]?.signal,
    async end(n: number, result: string) {
      runs[n]?.ended.resolve(result)
      await turn()
    },
    async fail(n: number) {
      runs[n]?.ended.reject(new Error('broken'))
      await turn()
    },
  }
}
