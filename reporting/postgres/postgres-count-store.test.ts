import { afterAll, beforeAll, describe } from 'vitest'
import { createLog } from '../../shared/runtime/log.ts'
import { eventually } from '../../tests/harness/eventually.ts'
import { hasPostgres, type PostgresServer, startPostgres } from '../../tests/harness/postgres.ts'
import { describeCountStore, type Opened } from '../count-store.test-suite.ts'
import type { ReportObserver } from '../count-store.ts'
import { openPostgresCountStore, type PostgresCountStore } from './postgres-count-store.ts'

const log = createLog({ name: 'reporting', level: 'silent' })

describe.skipIf(!hasPostgres)('a count store in Postgres', () => {
  let server: PostgresServer
  let url: string
  beforeAll(async () => {
    server = await startPostgres()
    url = await server.createDatabase()
  })
  afterAll(() => server?.[Symbol.asyncDispose]())

  async function openStore(onReport: ReportObserver = () => {}): Promise<PostgresCountStore> {
    const store = openPostgresCountStore({ urls: [url], maxConnections: 4, log, onReport })
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

  async function openBoth(onReport?: ReportObserver): Promise<Opened> {
    const [counts, other] = await Promise.all([openStore(onReport), openStore(onReport)])
    let closed: Promise<unknown> | undefined
    const close = () => (closed ??= Promise.all([counts, other].map((store) => store[Symbol.asyncDispose]())))
    return {
      counts,
      others: [other],
      async restart() {
        await close()
        return openBoth(onReport)
      },
      async [Symbol.asyncDispose]() {
        await close()
      },
    }
  }

  describeCountStore({
    async open(onReport) {
      await empty()
      return openBoth(onReport)
    },
    isPersistent: true,
    numRuns: 20,
  })
})
