import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createLog } from '../../shared/runtime/log.ts'
import { eventually } from '../../tests/harness/eventually.ts'
import { hasPostgres, type PostgresServer, startPostgres } from '../../tests/harness/postgres.ts'
import { describeCountStore } from '../count-store.test-suite.ts'
import type { ReportObserver } from '../count-store.ts'
import { describeVerdicts } from '../engine.test-suite.ts'
import type { Opened } from '../opened-store.test-suite.ts'
import { createReference } from '../reference.test-suite.ts'
import type { RulesVersion } from '../rules/rule-sets.ts'
import { describeSeries } from '../series.test-suite.ts'
import { describeWatchTime } from '../watch.test-suite.ts'
import { openPostgresCountStore, type PostgresCountStore } from './postgres-count-store.ts'
import { toDatabaseUrl } from './settings.ts'

type Options = { onReport?: ReportObserver; rules?: RulesVersion; maxProducers?: number; maxIds?: number }

const log = createLog({ name: 'reporting', level: 'silent' })

describe.skipIf(!hasPostgres)('a count store in Postgres', () => {
  let server: PostgresServer
  let url: string
  beforeAll(async () => {
    server = await startPostgres()
    url = await server.createDatabase()
  })
  afterAll(() => server?.[Symbol.asyncDispose]())

  async function openStore(options: Options): Promise<PostgresCountStore> {
    const store = openPostgresCountStore({ urls: [toDatabaseUrl(url)], maxConnections: 4, log, ...options })
    await eventually(() => {
      if (store.state() !== 'up') throw new Error(store.reason())
    })
    return store
  }

  /** Deleting rows is faster than migrating again. */
  async function empty() {
    await server.use(url, async (client) => {
      const { rows } = await client.query<{ name: string }>(
        `select format('%I.%I', schemaname, tablename) as name from pg_tables where schemaname = 'reporting' and tablename <> 'schema'`,
      )
      for (const { name } of rows) await client.query(`delete from ${name}`)
      if (rows.length > 0) await client.query('insert into reporting.state default values')
    })
  }

  async function openBoth(onReport: ReportObserver = () => {}, rules: RulesVersion = 'v1'): Promise<Opened> {
    const [counts, other] = await Promise.all([openStore({ onReport, rules }), openStore({ onReport, rules })])
    let closed: Promise<unknown> | undefined
    const close = () => (closed ??= Promise.all([counts, other].map((store) => store[Symbol.asyncDispose]())))
    return {
      counts,
      others: [other],
      async restart() {
        await close()
        return openBoth(onReport, rules)
      },
      async [Symbol.asyncDispose]() {
        await close()
      },
    }
  }

  async function open(onReport?: ReportObserver, rules?: RulesVersion): Promise<Opened> {
    await empty()
    return openBoth(onReport, rules)
  }

  describeCountStore({ open: (onReport) => open(onReport), isPersistent: true, numRuns: 12 })

  describeVerdicts({ open: () => open(), isPersistent: true, numRuns: 12 })

  describeSeries({ open: () => open(), isPersistent: true, numRuns: 12 })

  describeWatchTime({ open: () => open(undefined, 'v2'), isPersistent: true, numRuns: 25 })

  test('producers and ids beyond the limits are forgotten, as in the in-memory store', async () => {
    const id = fc.nat(14).map(String)
    const step = fc.record({
      producer: fc.nat(6).map(String),
      serial: fc.integer({ min: 1, max: 6 }),
      ids: fc.array(id),
    })
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 30, maxLength: 60 }), async (steps) => {
        await empty()
        await using store = await openStore({ maxProducers: 4, maxIds: 5 })
        const reference = createReference({ maxProducers: 4, maxIds: 5 })
        for (const [after, { producer, serial, ids }] of steps.entries()) {
          const fields = { assetId: 'a', userId: 'u', at: '2026-11-20T21:00:00Z' }
          const unnumbered = ids.map((id) => ({ ...fields, id, producer: '/source' }))
          const views = [{ ...fields, id: 'x', producer, serial }, ...unnumbered]
          const batch = { incarnation: 'log', after, through: after + 1, views }
          expect(await store.apply(batch)).toEqual(reference(batch))
        }
      }),
      { numRuns: 5 },
    )
  })
})
