import { expect, test } from 'vitest'
import { sleep } from '../../shared/runtime/sleep.ts'
import { eventually } from '../../tests/harness/eventually.ts'
import { startPruning } from './pruning.ts'

test('a round of pruning starts only once the previous one has ended, and disposing waits for it', async () => {
  const rounds: PromiseWithResolvers<unknown[][]>[] = []
  function run(): Promise<unknown[][]> {
    const round = Promise.withResolvers<unknown[][]>()
    rounds.push(round)
    return round.promise
  }
  const pruning = startPruning({ run, partitions: { maintain: async () => {} }, maxKeys: 1, intervalMs: 1 })
  await eventually(() => expect(rounds).toHaveLength(1))
  await sleep(50)
  expect(rounds).toHaveLength(1)
  rounds[0]?.resolve([[0]])
  await eventually(() => expect(rounds).toHaveLength(2))

  let isDisposed = false
  const disposed = pruning[Symbol.asyncDispose]().then(() => {
    isDisposed = true
  })
  await sleep(10)
  expect(isDisposed).toBe(false)
  // A full round would be followed by another one.
  rounds[1]?.resolve([[5_000]])
  await disposed
  expect(rounds).toHaveLength(2)
})
