import { setImmediate as turn } from 'node:timers/promises'
import { expect, test, vi } from 'vitest'
import { createBatcher, OverloadedError, TimedOutError } from './batcher.ts'
import { useFakeClock } from './fake-clock.ts'

test('a single item waits for nothing', async () => {
  const { add, end, groups } = open()
  const added = add('a')
  expect(groups()).toEqual(['a'])
  await end(0, 'done')
  expect(await added).toBe('done')
})

test('what comes while a group is under way forms the next, in order, with one result', async () => {
  const { add, end, groups } = open()
  const added = ['a', 'b', 'c', 'd'].map(add)
  expect(groups()).toEqual(['a'])
  await end(0, 'first')
  expect(groups()).toEqual(['a', 'bcd'])
  await end(1, 'second')
  expect(await Promise.all(added)).toEqual(['first', 'second', 'second', 'second'])
  void add('e')
  expect(groups()).toEqual(['a', 'bcd', 'e'])
})

test('a group has no more items than it may', async () => {
  const { add, end, groups } = open({ maxItems: 2 })
  const added = ['a', 'b', 'c', 'd'].map(add)
  for (const n of [0, 1, 2]) await end(n, String(n))
  expect(groups()).toEqual(['a', 'bc', 'd'])
  expect(await Promise.all(added)).toEqual(['0', '1', '1', '2'])
})

test('no more items wait than may, and those under way do not wait', async () => {
  const { add, end, groups } = open({ maxWaiting: 2 })
  for (const item of ['a', 'b', 'c']) void add(item)
  await expect(add('d')).rejects.toThrow(OverloadedError)
  await end(0, 'done')
  for (const item of ['e', 'f']) void add(item)
  await expect(add('g')).rejects.toThrow(OverloadedError)
  await end(1, 'done')
  expect(groups()).toEqual(['a', 'bc', 'ef'])
})

test('a failure reaches all of a group, and the next goes on', async () => {
  const { add, end, fail } = open()
  const added = Promise.allSettled(['a', 'b', 'c'].map(add))
  await end(0, 'done')
  const last = add('d')
  await fail(1)
  await end(2, 'done')
  expect(await added).toMatchObject([
    { value: 'done' },
    { reason: { message: 'broken' } },
    { reason: { message: 'broken' } },
  ])
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
  const added = [add('bad'), add('good')]
  await expect(added[0]).rejects.toThrow('broken')
  expect(await added[1]).toBe('done')
})

test('a run that takes too long is told to end, and its items get what comes of it', async () => {
  const { add, end, signal } = open()
  const added = add('a')
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
  void add('b')
  await vi.advanceTimersByTimeAsync(100)
  await end(0, 'done')
  expect(signal(1)?.reason).toBeInstanceOf(TimedOutError)
})

test('what is done leaves no timer', async () => {
  const { add, end, fail } = open()
  const added = Promise.allSettled([add('a'), add('b')])
  await end(0, 'done')
  await fail(1)
  await added
  expect(vi.getTimerCount()).toBe(0)
})

const limits = { maxItems: 100, maxWaiting: 100, budgetMs: 100 }

/** A batcher whose groups end when the test says so, under a clock that stands still. */
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
