import { describe, expect, test } from 'vitest'
import type { LiveEvent } from '../../shared/contracts/live.ts'
import { createLog } from '../../shared/runtime/log.ts'
import { UnavailableError } from '../../shared/runtime/unavailable-error.ts'
import { eventually } from '../../tests/harness/eventually.ts'
import { hasPostgres } from '../../tests/harness/postgres.ts'
import { type PostgresPair, startPostgresPair } from '../../tests/harness/postgres-standby.ts'
import { runningTime } from '../../tests/harness/running-time.ts'
import { openPostgresCountStore, type PostgresCountStore } from './postgres-count-store.ts'
import { databaseUrl } from './settings.ts'

const log = createLog({ name: 'reporting', level: 'silent' })

describe.skipIf(!hasPostgres)('a primary with a synchronous standby', () => {
  test('accepts batches but no direct counts while the standby is down; a promotion loses no confirmed count', async () => {
    await using pair = await startPostgresPair()
    await using store = await openUp(pair)
    await using live = follow(store)
    expect(await store.apply(toBatch(0, 'u'))).toBeDefined()
    expect(await store.count({ assetId: 'a', userId: 'direct' })).toEqual({ assetviews: 2, userviews: 1 })

    await pair.disconnect()
    const startedAt = runningTime()
    const countUnconfirmed = () => store.count({ assetId: 'a', userId: 'unconfirmed' }).catch((error: unknown) => error)
    const counting = [countUnconfirmed(), countUnconfirmed()]
    for (let after = 1; after < 6; after += 1) expect(await store.apply(toBatch(after, 'u'))).toBeDefined()
    await store.report({ incarnation: 'log', end: 9 })
    expect(runningTime() - startedAt).toBeLessThan(3_000)
    counting.push(countUnconfirmed())
    for (const result of await Promise.all(counting)) expect(result).toBeInstanceOf(UnavailableError)
    expect(runningTime() - startedAt).toBeLessThan(8_000)
    expect(await waitingForStandby(pair)).toBe(1)
    await eventually(() => expect(live.counts()).toMatchObject({ u: 6 }))

    await pair.primary().signal('SIGKILL')
    await pair.promote()
    await eventually(async () => expect(await store.position()).toMatchObject({ sequence: 1 }), 5_000)
    expect((await store.counts('user', 'direct'))?.views).toBe(1)
    expect((await store.counts('user', 'unconfirmed'))?.views).toBeUndefined()
    for (let after = 1; after < 3; after += 1) expect(await store.apply(toBatch(after, 'u'))).toBeDefined()
    expect((await store.counts('user', 'u'))?.views).toBe(3)
    await eventually(() => expect(live.counts()).toEqual({ u: 3, direct: 1 }))
  })

  test('is abandoned for the promoted standby, even if it still accepts writes', async () => {
    await using pair = await startPostgresPair()
    await using store = await openUp(pair)
    await store.apply(toBatch(0, 'u'))
    // A direct count commits synchronously, which also replicates the batch.
    await store.count({ assetId: 'a', userId: 'u' })
    await pair.promote()
    await pair
      .primary()
      .use(pair.urlOn(pair.primary()), (client) => client.query(`update reporting.state set sequence = 7`))
    await eventually(async () => expect(await store.position()).toMatchObject({ sequence: 7 }), 5_000)

    await using restarted = await openUp(pair)
    expect(await restarted.position()).toMatchObject({ sequence: 7 })

    const terminate = `select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'reporting'`
    for (let times = 0; times < 3; times += 1) {
      await pair.primary().use(pair.primary().urlOf('postgres'), (client) => client.query(terminate))
      for (const opened of [store, restarted])
        await eventually(async () => expect(await opened.position()).toMatchObject({ sequence: 7 }))
    }
    await pair.primary().signal('SIGKILL')
    await eventually(() => expect(store.reason()).toContain('the server is on timeline 1'))
    expect(store.state()).toBe('down')
  })
})

async function openUp({ url }: PostgresPair): Promise<PostgresCountStore> {
  const urls = databaseUrl.parse(url) ?? []
  const store = openPostgresCountStore({ urls, maxConnections: 4, log })
  await eventually(() => expect(store.reason()).toBeUndefined())
  return store
}

/** A batch of one view. */
function toBatch(after: number, userId: string) {
  const view = { id: String(after), assetId: 'a', userId, at: '2026-11-20T21:00:00Z', producer: 'p', serial: after + 1 }
  return { incarnation: 'log', after, through: after + 1, views: [view] }
}

/** Follows users' live counts as a subscriber does. */
function follow(store: PostgresCountStore) {
  let users: Record<string, number> = {}
  const stop = store.follow(({ event, data }: LiveEvent) => {
    if (event === 'snapshot') users = Object.fromEntries(data.top.users.map(({ id, views }) => [id, views]))
    else users = { ...users, ...data.users }
  })
  return { counts: () => users, [Symbol.asyncDispose]: async () => stop() }
}

/** The number of backends that wait for the standby. */
function waitingForStandby(pair: PostgresPair): Promise<number> {
  const primary = pair.primary()
  const query = `select count(*)::int as waiting from pg_stat_activity where wait_event = 'SyncRep'`
  return primary.use(primary.urlOf('postgres'), async (client) => (await client.query(query)).rows[0].waiting)
}
