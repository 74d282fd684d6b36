import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { z } from 'zod'
import type { View } from '../../shared/contracts/view.ts'
import { createLog } from '../../shared/runtime/log.ts'
import { eventually } from '../../tests/harness/eventually.ts'
import { hasPostgres, type PostgresServer, startPostgres } from '../../tests/harness/postgres.ts'
import { startTcpProxy } from '../../tests/harness/tcp-proxy.ts'
import type { CountBatch } from '../count-store.ts'
import { createJudge } from '../rules/judge.ts'
import { ruleSets } from '../rules/rule-sets.ts'
import { openDatabase } from './database.ts'
import { toEventKey } from './event-key.ts'
import { toExplanationQuery } from './explanations.ts'
import { restoreJudge } from './judges.ts'
import { migrate } from './migrate.ts'
import { createPartitions } from './partitions.ts'
import { openPostgresCountStore, type PostgresCountStore } from './postgres-count-store.ts'
import { migrations } from './schema.ts'
import { toDatabaseUrl } from './settings.ts'

const log = createLog({ name: 'reporting', level: 'silent' })

describe.skipIf(!hasPostgres)('verdicts in Postgres', () => {
  let server: PostgresServer
  beforeAll(async () => {
    server = await startPostgres()
  })
  afterAll(() => server?.[Symbol.asyncDispose]())

  test("an instance that takes over within a rule's window judges views as the previous instance would", async () => {
    const url = await server.createDatabase()
    await using first = await openUp(url)
    await using second = await openUp(url)
    for (const [n, store] of [first, second, first, second, second, first].entries()) {
      const applied = await store.apply(toBatch(n, [{ id: `view-${n}`, second: n * 20 }]))
      const repeat = { reason: 'repeat', because: { id: `view-${n - 1}`, at: timeOf((n - 1) * 20) } }
      expect(applied?.views).toMatchObject([n === 0 ? { verdict: 'qualified' } : repeat])
    }
    expect(await first.audit()).toMatchObject({ views: 6, qualified: 1, notQualified: { repeat: 5 }, pending: 0 })
  })

  test('a judge is restored in pages, without gaps or duplicates, even if many events have the same clock', async () => {
    const url = await server.createDatabase()
    await using store = await openUp(url)
    const ids = Array.from({ length: 60 }, (_, n) => `view-${n}`)
    for (let n = 0; n < 3; n += 1) {
      const played = ids
        .slice(20 * n, 20 * (n + 1))
        .map((id, index) => ({ id, userId: id, second: index < 15 ? n : n + 1 }))
      await store.apply(toBatch(n, played))
    }
    await using database = openDatabase({ urls: [toDatabaseUrl(url)], maxConnections: 1 })
    for (const pageRows of [1, 7, 20, 60, 100]) {
      const judge = await restoreJudge(database.run, createJudge(ruleSets.v1), {
        fromClock: timeOf(0),
        throughClock: timeOf(3),
        pageRows,
      })
      const events = judge.known().flatMap(({ events }) => Array.from(events, ({ event }) => event.id))
      expect(events).toEqual(ids)
    }
  })

  test('restoring a judge reads each verdict only a few times, however many pages it takes', async () => {
    const url = await server.createDatabase()
    await using store = await openUp(url)
    await store.apply(toBatch(0, [{ id: 'first', second: 0 }]))
    await using database = openDatabase({ urls: [toDatabaseUrl(url)], maxConnections: 1 })
    const [verdicts, spanMs] = [60_000, 30_000]
    await database.run(
      `insert into reporting.verdict (at, clock, sequence, origin, index, state, key, reason, asset_id, user_id, event_id, because)
        select time, time, n, origin, 0, 'q', gen_random_uuid(), '', 'a', n::text, '', ''
        from generate_series(2, ${verdicts}) as n, lateral (select ${START} + n * ${spanMs} / ${verdicts} as time) as clock,
          reporting.verdict_origin`,
      10_000,
    )
    await createPartitions({ run: database.run, maxAgeMs: Date.now(), windowMs: spanMs }).maintain()
    let read = 0
    const run: typeof database.run = async (statements, timeoutMs) => {
      const [[plan] = []] = await database.run(
        statements.replace('select', 'explain (analyze, format json) select'),
        timeoutMs,
      )
      read += countScanned(plan)
      return database.run(statements, timeoutMs)
    }
    const range = { fromClock: START, throughClock: START + spanMs, pageRows: 2_000 }
    const judge = await restoreJudge(run, createJudge(ruleSets.v1), range)
    expect(judge.known().map(({ events }) => events.length)).toEqual([verdicts])
    expect(read).toBeLessThan(5 * verdicts)
  })

  test("an instance that loses the race for a position discards its batch's state", async () => {
    const url = await server.createDatabase()
    await using first = await openUp(url)
    await using second = await openUp(url)
    await first.apply(toBatch(0, [{ id: 'x', second: 0, userId: 'other' }]))
    const won = toBatch(1, [{ id: 'won', second: 10, userId: 'v' }])
    const lost = toBatch(1, [{ id: 'lost', second: 10 }])
    expect(await second.apply(won)).toBeDefined()
    expect(await first.apply(lost)).toBeUndefined()
    const applied = await first.apply(toBatch(2, [{ id: 'next', second: 20 }]))
    expect(applied?.views).toMatchObject([{ id: 'next', verdict: 'qualified' }])
  })

  test('verdicts and counts stay exact if the response to a commit is lost', async () => {
    const url = await server.createDatabase()
    await using proxy = await startTcpProxy(url, 60)
    const proxied = new URL(url)
    proxied.port = new URL(proxy.url).port
    await using store = await openUp(proxied.href)
    await server.use(url, async (client) => {
      const applying = store.apply(toBatch(0, [{ id: 'x', second: 0 }]))
      await eventually(async () => {
        expect((await client.query('select sequence from reporting.state')).rows).toEqual([{ sequence: '1' }])
      })
      proxy.close()
      expect(await applying).toMatchObject({ views: [{ id: 'x', verdict: 'qualified' }] })
    })
    const next = toBatch(1, [{ id: 'y', second: 30 }])
    expect(await eventually(() => store.apply(next))).toMatchObject({ views: [{ because: { id: 'x' } }] })
    expect(await store.audit()).toMatchObject({ views: 2, qualified: 1, notQualified: { repeat: 1 } })
    expect(await store.counts('asset', 'a')).toEqual({ views: 2, qualified: 1, viewers: 1 })
  })

  test('a database whose views were judged by other rules is not used', async () => {
    const url = await server.createDatabase()
    const reason = /judged by the view rules v0, but this process uses v1/
    {
      await using store = await openUp(url)
      await store.apply(toBatch(0, [{ id: 'x', second: 0 }]))
      await server.use(url, (client) => client.query("update reporting.verdict_origin set rules = 'v0'"))
    }
    await using store = openPostgresCountStore({ urls: [toDatabaseUrl(url)], maxConnections: 1, log })
    await eventually(() => expect(store.reason()).toMatch(reason))
    await expect(store.counts('asset', 'a')).rejects.toThrow(reason)
    await expect(store.apply(toBatch(1, [{ id: 'y', second: 60 }]))).rejects.toThrow(reason)
  })

  test('views that the previous release counted are pending', async () => {
    const url = await server.createDatabase()
    {
      await using database = openDatabase({ urls: [toDatabaseUrl(url)], maxConnections: 1 })
      await migrate(database, migrations.slice(0, 2))
    }
    await server.use(url, (client) =>
      client.query(`update reporting.state set incarnation = '"log"', sequence = 7, views = 3, batch = 'old';
        insert into reporting.asset_views values ('a', 2), ('b', 1);
        insert into reporting.user_views values ('u', 3);
        insert into reporting.size values ('asset', 2, 2), ('user', 1, 1);
        insert into reporting.top_candidate values ('asset', 'a'), ('asset', 'b'), ('user', 'u')`),
    )
    await using store = await openUp(url)
    const zeros = { direct: 0, retried: 0, rejected: 0, notQualified: {} }
    const position = { stream: 'log', sequence: 7 }
    expect(await store.audit()).toEqual({ ...zeros, views: 3, qualified: 0, pending: 3, position })
    expect(await store.counts('asset', 'a')).toEqual({ views: 2, qualified: 0, viewers: 0 })
    expect(await store.knownSince()).toBeUndefined()
    await store.apply(toBatch(7, [{ id: 'x', second: 0, assetId: 'b' }]))
    await store.count({ assetId: 'a', userId: 'u' })
    expect(await store.audit()).toMatchObject({ ...zeros, views: 5, qualified: 1, pending: 3, direct: 1 })
    expect(await store.top('asset', 'views', 2)).toMatchObject([
      { id: 'a', views: 3 },
      { id: 'b', views: 2 },
    ])
    expect(await store.top('asset', 'qualified', 2)).toEqual([{ id: 'b', views: 2, qualified: 1, viewers: 1 }])
  })

  describe('the partitions', () => {
    const DAY = 86_400

    test('each contain one day of the log, and are dropped as a whole when older than VERDICTS_MAX_AGE', async () => {
      const url = await server.createDatabase()
      await using store = await openUp(url, { verdictsMaxAgeMs: 3_600_000 })
      const views = [0, DAY, 2 * DAY].map((second) => ({ id: `day-${second / DAY}`, second }))
      await store.apply(toBatch(0, views))
      expect(await rowsByPartition(url)).toMatchObject({
        verdict_20260101: 1,
        verdict_20260102: 1,
        verdict_20260103: 1,
        verdict_default: 0,
      })
      expect(await store.knownSince()).toEqual(new Date(timeOf(0)))
      await eventually(
        async () => expect(Object.keys(await rowsByPartition(url))).not.toContain('verdict_20260102'),
        8_000,
      )
      // An instance that takes over needs this partition to judge views.
      expect(await rowsByPartition(url)).toMatchObject({ verdict_20260103: 1 })
      expect(await eventually(() => store.knownSince())).toEqual(new Date(timeOf(2 * DAY)))
      expect(await store.explain('day-1')).toBeUndefined()
      expect(await store.explain('day-2')).toMatchObject({ state: 'counted' })
      expect(await store.audit()).toMatchObject({ views: 3, qualified: 3 })
    })

    test('are not summarized automatically, because Postgres would log statements during a replay', async () => {
      const url = await server.createDatabase()
      await using _ = await openUp(url)
      await using database = openDatabase({ urls: [toDatabaseUrl(url)], maxConnections: 1 })
      const automatic = `select relname from pg_class where relkind = 'i' and 'autosummarize=on' = any(reloptions)`
      await eventually(async () => expect(await database.run(automatic, 1_000)).toEqual([]))
    })

    test('for the next few days are created in advance', async () => {
      const url = await server.createDatabase()
      await using _ = await openUp(url)
      const names = [0, 1].map((days) => new Date(Date.now() + days * DAY * 1_000).toISOString().slice(0, 10))
      const expected = names.map((name) => `verdict_${name.replaceAll('-', '')}`)
      await eventually(async () => {
        expect(Object.keys(await rowsByPartition(url))).toEqual(expect.arrayContaining(expected))
      }, 8_000)
    })

    test('are not required: batches are counted without them', async () => {
      const url = await server.createDatabase()
      await using store = await openUp(url)
      await server.use(url, (client) => client.query('create table reporting.verdict_20260101 ()'))
      expect(await store.apply(toBatch(0, [{ id: 'x', second: 0 }]))).toBeDefined()
      expect(await rowsByPartition(url)).toMatchObject({ verdict_default: 1 })
      expect(await store.explain('x')).toMatchObject({ verdict: 'qualified' })
    })

    async function rowsByPartition(url: string): Promise<Record<string, number>> {
      return server.use(url, async (client) => {
        const { rows } = await client.query<{ name: string }>(`select relname as name from pg_class
          join pg_inherits on inhrelid = pg_class.oid where inhparent = 'reporting.verdict'::regclass`)
        const counts: Record<string, number> = {}
        for (const { name } of rows) {
          const { rows } = await client.query(`select count(*)::int as rows from reporting.${name}`)
          counts[name] = rows[0].rows
        }
        return counts
      })
    }
  })

  test('a verdict is found through the index', async () => {
    const url = await server.createDatabase()
    await using store = await openUp(url)
    await store.apply(toBatch(0, [{ id: 'x', second: 0 }]))
    await server.use(url, async (client) => {
      await client.query(`insert into reporting.verdict select at, clock, sequence, origin, index, state,
        gen_random_uuid(), reason, asset_id, user_id, '', because
        from reporting.verdict, generate_series(1, 20000)`)
      const { rows } = await client.query(`explain ${toExplanationQuery('x')}`)
      const plan = rows.map((row) => row['QUERY PLAN']).join('\n')
      expect(plan).toContain('verdict_20260101_key_idx')
      expect(plan).not.toContain('Seq Scan on verdict_2026')
    })
    expect(await store.explain('x')).toMatchObject({ id: 'x', verdict: 'qualified' })
  })

  test("an id that contains a time is found anywhere in the log, even if play's clock was ahead", async () => {
    const url = await server.createDatabase()
    await using store = await openUp(url)
    const toId = (time: number) => {
      const hex = time.toString(16).padStart(12, '0')
      return `${hex.slice(0, 8)}-${hex.slice(8)}-7abc-8def-0123456789ab`
    }
    const ids = [0, 86_400, 30 * 86_400].map((second) => toId(timeOf(second)))
    await store.apply(
      toBatch(
        0,
        ids.map((id, n) => ({ id, second: 0, userId: `u${n}` })),
      ),
    )
    for (const id of ids) expect(await store.explain(id)).toMatchObject({ id, verdict: 'qualified' })
    expect(await store.explain(toId(timeOf(1)))).toBeUndefined()
  })

  test('two event ids with the same key have separate verdicts', async () => {
    const url = await server.createDatabase()
    await using store = await openUp(url)
    const uuid = toEventKey('foreign').key.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-')
    expect(toEventKey(uuid)).toEqual({ key: uuid, id: '' })
    await store.apply(
      toBatch(0, [
        { id: 'foreign', second: 0, userId: 'u' },
        { id: uuid, second: 0, userId: 'v' },
      ]),
    )
    expect(await store.explain('foreign')).toMatchObject({ id: 'foreign', userId: 'u' })
    expect(await store.explain(uuid)).toMatchObject({ id: uuid, userId: 'v' })
  })

  test('every instance remembers the last KEYS_KEPT views with idempotency keys', async () => {
    const url = await server.createDatabase()
    await using first = await openUp(url, { maxKeys: 2 })
    await using second = await openUp(url, { maxKeys: 2 })
    const keyed = (id: string) => ({ id, second: 0, keyed: true as const })
    expect(await first.apply(toBatch(0, [keyed('k1'), keyed('k2'), keyed('k1')]))).toMatchObject({ retried: 1 })
    expect(await second.apply(toBatch(1, [keyed('k1'), keyed('k3')]))).toMatchObject({ retried: 1 })
    expect(await first.apply(toBatch(2, [keyed('k2'), keyed('k1')]))).toMatchObject({
      retried: 1,
      views: [{ id: 'k1' }],
    })
    expect(await first.audit()).toMatchObject({ views: 4, retried: 3 })
  })
})

type Options = { verdictsMaxAgeMs?: number; maxKeys?: number }

async function openUp(url: string, options: Options = {}): Promise<PostgresCountStore> {
  const store = openPostgresCountStore({ urls: [toDatabaseUrl(url)], maxConnections: 4, log, ...options })
  await eventually(() => {
    if (store.state() !== 'up') throw new Error(store.reason())
  })
  return store
}

const START = Date.parse('2026-01-01T12:00:00Z')

const PlanNode = z.object({
  'Node Type': z.string(),
  'Actual Rows': z.number(),
  'Rows Removed by Index Recheck': z.number().default(0),
  'Rows Removed by Filter': z.number().default(0),
  Plans: z.array(z.unknown()).optional(),
})

/** The number of rows read by the scans in an EXPLAIN plan. */
function countScanned(plan: unknown): number {
  if (Array.isArray(plan)) return plan.reduce((sum: number, part) => sum + countScanned(part.Plan ?? part), 0)
  const node = PlanNode.parse(plan)
  const own = node['Node Type'].endsWith('Heap Scan') || node['Node Type'] === 'Seq Scan' ? node['Actual Rows'] : 0
  const removed = node['Rows Removed by Index Recheck'] + node['Rows Removed by Filter']
  return own + removed + countScanned(node.Plans ?? [])
}

function timeOf(second: number): number {
  return START + second * 1_000
}

type Played = { id: string; second: number } & Partial<Omit<View, 'at'>>

/** A batch with one message per view, stored at the time of the view. */
function toBatch(after: number, played: Played[]): CountBatch {
  const views = played.map(({ second, ...fields }): View => {
    return { assetId: 'a', userId: 'u', ...fields, at: new Date(timeOf(second)).toISOString() }
  })
  const messages = views.map(({ at }) => ({ sequence: after + 1, views: 1, at }))
  return { incarnation: 'log', after, through: after + 1, views, messages }
}
