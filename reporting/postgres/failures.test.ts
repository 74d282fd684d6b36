import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { View } from '../../shared/contracts/view.ts'
import { createLog } from '../../shared/runtime/log.ts'
import { UnavailableError } from '../../shared/runtime/unavailable-error.ts'
import { eventually } from '../../tests/harness/eventually.ts'
import { hasPostgres, type PostgresServer, startPostgres } from '../../tests/harness/postgres.ts'
import { runningTime } from '../../tests/harness/running-time.ts'
import { startSocketServer } from '../../tests/harness/socket-server.ts'
import { startTcpProxy } from '../../tests/harness/tcp-proxy.ts'
import type { CountStore, ReportObserver } from '../count-store.ts'
import { openDatabase } from './database.ts'
import { migrate } from './migrate.ts'
import { openPostgresCountStore, type PostgresCountStore } from './postgres-count-store.ts'
import { migrations } from './schema.ts'
import { toDatabaseUrl } from './settings.ts'

const log = createLog({ name: 'reporting', level: 'silent' })
const LOCK_NOT_AVAILABLE = '55P03'

describe.skipIf(!hasPostgres)('Postgres failures', () => {
  let server: PostgresServer
  beforeAll(async () => {
    server = await startPostgres()
  })
  afterAll(() => server?.[Symbol.asyncDispose]())

  test('a store that opens while Postgres is down recovers once Postgres is up', async () => {
    const url = await server.createDatabase()
    await server.signal('SIGKILL')
    await using store = open([url.replace('postgres@', 'postgres:secret@')])
    await eventually(() => expect(store.state()).toBe('down'))
    expect(store.reason()).toContain('ECONNREFUSED')
    await expect(store.position()).rejects.toThrow(UnavailableError)
    const error = await store.lookUp({ assets: ['a'], users: [] }).catch(String)
    expect(String(error) + store.reason()).not.toContain('secret')
    await server.start()
    await isUp(store)
    expect(await store.apply(toBatch(0, 1))).toBeDefined()
  })

  test('while Postgres hangs, reads fail within a second; afterwards, they work again', async () => {
    await using store = await openUp(await server.createDatabase())
    await server.signal('SIGSTOP')
    try {
      const startedAt = runningTime()
      await expect(store.lookUp({ assets: ['a'], users: ['u'] })).rejects.toThrow(UnavailableError)
      expect(runningTime() - startedAt).toBeLessThan(1_000)
      await eventually(() => expect(store.state()).toBe('down'))
      // Retries the measurement, because other tests may keep the machine busy.
      await eventually(async () => {
        const next = runningTime()
        await expect(store.lookUp({ assets: ['a'], users: ['u'] })).rejects.toThrow('Postgres is down')
        expect(runningTime() - next).toBeLessThan(100)
      })
    } finally {
      await server.start()
    }
    await isUp(store)
    expect(await store.lookUp({ assets: ['a'], users: [] })).toEqual({ assets: { a: 0 }, users: {} })
    expect(store.usage().waiting).toBe(0)
  })

  test('while all connections wait for a lock, reads fail within a second, and no statement is left running', async () => {
    const url = await server.createDatabase()
    await using store = await openUp(url)
    const waiting = `select count(*)::int as waiting from pg_stat_activity where wait_event_type = 'Lock'`
    await server.use(url, async (client) => {
      await client.query('begin; lock table reporting.asset_views, reporting.user_views')
      const startedAt = runningTime()
      const reads = await Promise.allSettled(Array.from({ length: 50 }, () => store.counts('asset', 'a')))
      expect(reads.every(({ status }) => status === 'rejected')).toBe(true)
      expect(runningTime() - startedAt).toBeLessThan(1_000)
      await eventually(async () => expect((await client.query(waiting)).rows).toEqual([{ waiting: 0 }]))
      await client.query('rollback')
    })
    expect((await store.counts('asset', 'a'))?.views).toBeUndefined()
  })

  describe('each view is counted exactly once while', () => {
    test('connections are terminated by the server', async () => {
      const url = await server.createDatabase()
      await using store = await openUp(url)
      await expectAllCounted(store, () =>
        server.use(url, (client) =>
          client.query('select pg_terminate_backend(pid) from pg_stat_activity where application_name = $1', [
            'reporting',
          ]),
        ),
      )
    })

    test('connections are cut in the middle of a statement', async () => {
      const url = await server.createDatabase()
      await using proxy = await startTcpProxy(url)
      await using store = await openUp(toProxied(url, proxy.url))
      await expectAllCounted(store, async () => proxy.cut())
    })

    test('Postgres is killed and restarted', async () => {
      await using store = await openUp(await server.createDatabase())
      await expectAllCounted(
        store,
        async () => {
          await server.signal('SIGKILL')
          await server.start()
          await sleep(500)
        },
        2,
      )
    })
  })

  test('a batch is reported as applied if its response is lost after the commit', async () => {
    const url = await server.createDatabase()
    await using proxy = await startTcpProxy(url, 60)
    await using store = await openUp(toProxied(url, proxy.url))
    await server.use(url, async (client) => {
      const applying = store.apply(toBatch(0, 1))
      await eventually(async () => {
        const { rows } = await client.query('select sequence from reporting.state')
        expect(rows).toEqual([{ sequence: '1' }])
      })
      proxy.close()
      expect(await applying).toMatchObject({ views: [{ id: '1' }], gaps: [] })
    })
    expect(await eventually(() => store.counts('asset', 'a'))).toMatchObject({ views: 1 })
  })

  test.each(['40001', '40P01'])('a transaction that Postgres rolls back with %s is retried', async (code) => {
    const url = await server.createDatabase()
    const retries: string[] = []
    await using store = open([url], { onRetry: (code) => retries.push(code) })
    await isUp(store)
    await server.use(url, (client) =>
      client.query(`create sequence attempt;
        create function fail_twice() returns trigger language plpgsql as $$
          begin
            if nextval('attempt') <= 2 then raise exception 'conflict' using errcode = '${code}'; end if;
            return new;
          end $$;
        create trigger fail before insert on reporting.asset_views for each row execute function fail_twice()`),
    )
    expect(await store.apply(toBatch(0, 1))).toBeDefined()
    expect(retries).toEqual([code, code])
    expect((await store.counts('asset', 'a'))?.views).toBe(1)
  })

  describe('the schema', () => {
    test('is created once if several instances start at the same time', async () => {
      const url = await server.createDatabase()
      const stores = Array.from({ length: 5 }, () => open([url]))
      await Promise.all(stores.map(isUp))
      for (const store of stores) expect(await store.position()).toBeUndefined()
      await Promise.all(stores.map((store) => store[Symbol.asyncDispose]()))
    })

    test('from a newer release is rejected with a reason that names both versions, until it is replaced', async () => {
      const url = await server.createDatabase()
      {
        await using _ = await openUp(url)
      }
      const setVersion = (version: number) =>
        server.use(url, (client) => client.query(`update reporting.schema set version = ${version}`))
      await setVersion(99)
      await using store = open([url])
      await eventually(() => expect(store.reason()).toContain('has version 99, but this release supports version 5'))
      expect(store.state()).toBe('down')
      await setVersion(5)
      await isUp(store)
    })

    test('is no longer written to once a newer release has upgraded it', async () => {
      const url = await server.createDatabase()
      await using store = await openUp(url)
      await store.apply(toBatch(0, 1))
      await server.use(url, (client) => client.query('update reporting.schema set version = 99'))
      expect(await store.apply(toBatch(1, 2)).catch(() => undefined)).toBeUndefined()
      const { rows } = await server.use(url, (client) => client.query('select sequence from reporting.state'))
      expect(rows).toEqual([{ sequence: '1' }])
      await eventually(() => expect(store.reason()).toContain('has version 99, but this release supports version 5'))
    })

    test('is not upgraded while a backup reads it, so that reads do not wait for the backup', async () => {
      const url = await server.createDatabase()
      await using database = openDatabase({ urls: [toDatabaseUrl(url)], maxConnections: 1 })
      await migrate(database, migrations.slice(0, 4))
      await server.use(url, async (client) => {
        await client.query('begin; lock table reporting.state in access share mode')
        await expect(migrate(database)).rejects.toMatchObject({ code: LOCK_NOT_AVAILABLE })
        await client.query('rollback')
      })
      await migrate(database)
      await using _ = await openUp(url)
    })

    test('is recreated if the database is replaced by an empty one', async () => {
      const url = await server.createDatabase()
      await using store = await openUp(url)
      await server.use(url, (client) => client.query('drop schema reporting cascade'))
      await eventually(async () => expect(await store.position()).toBeUndefined())
      expect(await store.apply(toBatch(0, 1))).toBeDefined()
    })
  })

  describe('with several hosts', () => {
    test('a host that is down or read-only is skipped', async () => {
      const [readOnly, url] = [await server.createDatabase(), await server.createDatabase()]
      {
        // A standby has its primary's schema.
        await using _ = await openUp(readOnly)
      }
      await setReadOnly(readOnly, 'on')
      await using store = open(['postgres://postgres@127.0.0.1:1/none', readOnly, url])
      await isUp(store)
      expect(await store.apply(toBatch(0, 1))).toBeDefined()
    })

    test.each([1, 2])('a host that accepts connections but hangs is skipped, with a pool of %i', async (max) => {
      await using hung = await startSocketServer()
      const url = await server.createDatabase()
      const hungUrl = `postgres://postgres@127.0.0.1:${new URL(hung.url).port}/none`
      await using store = open([hungUrl, url], { maxConnections: max })
      await isUp(store)
      expect(await store.apply(toBatch(0, 1))).toBeDefined()
    })

    test('a host that becomes read-only is abandoned for one that accepts writes', async () => {
      const [first, second] = [await server.createDatabase(), await server.createDatabase()]
      await using store = open([first, second])
      await isUp(store)
      await store.apply(toBatch(0, 1))
      await setReadOnly(first, 'on')
      await eventually(async () => expect(await store.position()).toBeUndefined())
      await setReadOnly(second, 'on')
      await setReadOnly(first, 'off')
      await eventually(async () => expect(await store.position()).toMatchObject({ sequence: 1 }))
    })

    /**
     * Sets the mode, and closes all connections, because existing connections would keep the old mode. A server that
     * becomes a standby closes its connections too.
     */
    async function setReadOnly(url: string, value: string): Promise<void> {
      const name = url.slice(url.lastIndexOf('/') + 1)
      await server.use(new URL('/postgres', url).href, async (client) => {
        await client.query(`alter database ${name} set default_transaction_read_only = ${value}`)
        await client.query('select pg_terminate_backend(pid) from pg_stat_activity where datname = $1', [name])
      })
    }
  })

  test('a stale report that was stored before the instance started is ignored', async () => {
    const url = await server.createDatabase()
    {
      await using store = await openUp(url)
      await store.report({ incarnation: 'log', end: 0 })
    }
    await sleep(1_100)
    const ends: (number | undefined)[] = []
    await using store = await openUp(url, ({ end }) => ends.push(end))
    await store.report({ incarnation: 'log', end: 7 })
    expect(ends).toEqual([7])
  })

  test('a direct count is rejected if its transaction is lost before the confirmation', async () => {
    const url = await server.createDatabase()
    await using store = await openUp(url)
    expect(await store.count({ assetId: 'a', userId: 'u' })).toEqual({ assetviews: 1, userviews: 1 })
    await server.use(url, async (client) => {
      expect((await client.query('select from reporting.receipt')).rowCount).toBe(0)
      // Simulates a failover between the two transactions.
      await client.query(`create function lose() returns trigger language plpgsql as $$ begin return null; end $$;
        create trigger lose before insert on reporting.receipt for each row execute function lose()`)
    })
    await expect(store.count({ assetId: 'a', userId: 'u' })).rejects.toThrow('the view was lost in a failover')
  })

  test('a batch is not applied to cached state if another batch has since reached the same position', async () => {
    const url = await server.createDatabase()
    await using store = await openUp(url)
    await store.apply(toBatch(0, 1))
    // Simulates a failover that loses the batch, which is then sent again after an old producer has expired.
    await server.use(url, (client) => client.query(`update reporting.state set batch = 'other', is_complete = false`))
    expect(await store.apply(toBatch(1, 2))).toBeDefined()
    const { rows } = await server.use(url, (client) => client.query('select is_complete from reporting.state'))
    expect(rows).toEqual([{ is_complete: false }])
  })

  test("live counts start over with a snapshot if another change reuses a lost version's number", async () => {
    const url = await server.createDatabase()
    await using store = await openUp(url)
    await store.apply(toBatch(0, 1))
    await store.apply(toBatch(1, 2))
    let users: LiveUsers = []
    const stop = store.follow(({ event, data }) => {
      if (event === 'snapshot') users = data.top.users
    })
    await eventually(() => expect(users).toContainEqual(expect.objectContaining({ id: 'u1', views: 1 })))
    // Simulates a failover that loses version 2, and another batch that then reuses this number.
    await server.use(url, (client) =>
      client.query(`begin; update reporting.user_views set views = 5 where id = 'u1';
        update reporting.change set at = now() where version = 2; commit`),
    )
    await eventually(() => expect(users).toContainEqual(expect.objectContaining({ id: 'u1', views: 5 })), 5_000)
    stop()
  })

  test('a full disk is reported as insufficient storage', async () => {
    const url = await server.createDatabase()
    await using store = await openUp(url)
    await server.use(url, (client) =>
      client.query(`create function fail() returns trigger language plpgsql as $$
          begin raise exception 'could not extend file' using errcode = '53100'; end $$;
        create trigger fail before insert on reporting.asset_views for each row execute function fail()`),
    )
    await expect(store.apply(toBatch(0, 1))).rejects.toMatchObject({ status: 507 })
    expect(await store.position()).toBeUndefined()
  })
})

type LiveUsers = { id: string; views: number }[]

type Options = { maxConnections?: number; onReport?: ReportObserver; onRetry?: (code: string) => void }

function open(urls: string[], options: Options = {}): PostgresCountStore {
  return openPostgresCountStore({ urls: urls.map(toDatabaseUrl), maxConnections: 4, log, ...options })
}

async function openUp(url: string, onReport?: ReportObserver): Promise<PostgresCountStore> {
  const store = open([url], onReport ? { onReport } : {})
  await isUp(store)
  return store
}

function isUp(store: PostgresCountStore): Promise<void> {
  return eventually(() => {
    if (store.state() !== 'up') throw new Error(store.reason())
  })
}

function toProxied(url: string, proxy: string): string {
  const proxied = new URL(url)
  proxied.port = new URL(proxy).port
  return proxied.href
}

const MESSAGES = 200

function toBatch(after: number, through: number) {
  const sequences = Array.from({ length: through - after }, (_, n) => after + n + 1)
  const views: View[] = sequences.map((serial) => ({
    id: String(serial),
    assetId: 'a',
    userId: `u${serial % 7}`,
    at: '2026-11-20T21:00:00Z',
    producer: 'p',
    serial,
  }))
  return { incarnation: 'log', after, through, views }
}

/** Verifies that each view of a log is counted once, although `fail` is called repeatedly while the log is forwarded. */
async function expectAllCounted(store: CountStore, fail: () => Promise<unknown>, failures = 20): Promise<void> {
  const done = new AbortController()
  const failing = (async () => {
    for (let n = 0; n < failures; n += 1) {
      await sleep(Math.random() * 100)
      await fail()
    }
    done.abort()
  })()
  let position = 0
  while (position < MESSAGES || !done.signal.aborted) {
    try {
      position = (await store.position())?.sequence ?? 0
      if (position < MESSAGES) await store.apply(toBatch(position, position + 1))
      else await sleep(10)
      if (!done.signal.aborted && position > MESSAGES / 2) await sleep(20)
    } catch (error) {
      expect(error).toBeInstanceOf(UnavailableError)
      await sleep(20)
    }
  }
  await failing
  const all = { assets: { a: MESSAGES }, users: countsByUser() }
  expect(await eventually(() => store.lookUp({ assets: ['a'], users: Object.keys(all.users) }))).toEqual(all)
  expect((await eventually(() => store.lost())).views).toBe(0)
  const qualified = Object.keys(all.users).length
  const totals = { views: MESSAGES, qualified, notQualified: { repeat: MESSAGES - qualified }, pending: 0 }
  expect(await eventually(() => store.audit())).toMatchObject(totals)
  expect(await eventually(() => store.counts('asset', 'a'))).toEqual({ views: MESSAGES, qualified, viewers: qualified })
  const last = { verdict: 'not-qualified', because: { id: String(MESSAGES - 7) } }
  expect(await eventually(() => store.explain(String(MESSAGES)))).toMatchObject(last)
}

function countsByUser(): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const { userId } of toBatch(0, MESSAGES).views) counts[userId] = (counts[userId] ?? 0) + 1
  return counts
}
