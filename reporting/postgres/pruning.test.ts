import { expect, test } from 'vitest'
import { sleep } from '../../shared/runtime/sleep.ts'
import { eventually } from '../../tests/harness/eventually.ts'
import { hasPostgres, startPostgres } from '../../tests/harness/postgres.ts'
import { openDatabase } from './database.ts'
import { migrate } from './migrate.ts'
import { createPartitions } from './partitions.ts'
import { startPruning } from './pruning.ts'
import { toDatabaseUrl } from './settings.ts'

test('a pruning round starts only after the previous one has ended, and disposal waits for the current one', async () => {
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
  // Disposal prevents the round that would otherwise follow a full round.
  rounds[1]?.resolve([[5_000]])
  await disposed
  expect(rounds).toHaveLength(2)
})

test.skipIf(!hasPostgres)('one round deletes all expired watch times, and no others', async () => {
  await using server = await startPostgres()
  const url = await server.createDatabase()
  await using database = openDatabase({ urls: [toDatabaseUrl(url)], maxConnections: 1 })
  await migrate(database)
  const [now, dayMs] = [Date.now(), 86_400_000]
  await database.run(
    `update reporting.state set clock = ${now};
    insert into reporting.watched (clock, sequence, index, origin, ms)
      select ${now} - case when n <= 12000 then 3 else 0 end * ${dayMs}, n, 0, 1, 1 from generate_series(1, 12010) as n`,
    5_000,
  )
  await createPartitions({ run: database.run, maxAgeMs: dayMs, windowMs: dayMs }).maintain()
  expect(await database.run('select count(*) from reporting.watched', 1_000)).toEqual([['10']])
})
