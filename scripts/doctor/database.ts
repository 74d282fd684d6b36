import { z } from 'zod'
import { openDatabase, ReadOnlyError, StatementError } from '../../reporting/postgres/database.ts'
import { migrations } from '../../reporting/postgres/schema.ts'
import { toReason } from '../../shared/runtime/reason.ts'
import type { Secret } from '../../shared/runtime/secret.ts'
import { type Finding, findingsAbout } from './finding.ts'
import { toMetric } from './metrics.ts'
import type { Inspected } from './services.ts'

const { ok, warn, fail } = findingsAbout('postgres')

const TIMEOUT_MS = 700
/** The oldest Postgres release that the tests use. */
const MIN_VERSION = 15

const [text, number] = [z.string(), z.coerce.number()]
const Facts = z.tuple([number, text, text, text, text, number, z.boolean()])
const FACTS = `select current_setting('server_version_num'), current_setting('transaction_read_only'),
  current_setting('fsync'), current_setting('full_page_writes'), current_setting('synchronous_standby_names'),
  (select count(*) from pg_stat_replication), to_regclass('reporting.state') is not null`

const Counts = z.tuple([number, text, number.nullable()])
const COUNTS = 'select schema.version, store_id, sequence from reporting.schema, reporting.state'

type Database = { facts: z.infer<typeof Facts>; counts: z.infer<typeof Counts> | undefined } | { error: unknown }

/** Reads the state of the host that accepts writes. Returns undefined without DATABASE_URL. */
export async function inspectDatabase(urls: readonly Secret[] | undefined): Promise<Database | undefined> {
  if (!urls) return undefined
  await using database = openDatabase({ urls, maxConnections: 1 })
  for (let host = 1; ; host += 1) {
    try {
      const [row] = await database.run(FACTS, TIMEOUT_MS, ([found]) => {
        if (found?.[1] !== 'off') throw new ReadOnlyError()
      })
      const facts = Facts.parse(row)
      const counts = facts[6] ? Counts.parse((await database.run(COUNTS, TIMEOUT_MS))[0]) : undefined
      return { facts, counts }
    } catch (error) {
      // After a failure, the database client uses the next host.
      if (host >= urls.length) return { error }
    }
  }
}

/** Findings about Postgres, and about which instances of reporting use it. */
export function* diagnoseDatabase(
  database: Database | undefined,
  urls: readonly Secret[] | undefined,
  reporting: Inspected[],
): Generator<Finding> {
  const running = reporting.filter(({ status }) => status)
  const users = running.filter(({ dependencies }) => 'postgres' in dependencies)
  if (!database) {
    const set = 'reporting uses Postgres: set DATABASE_URL here too, so that it is checked'
    if (users.length > 0) yield warn(set)
    return
  }
  const name = (urls ?? []).join()
  if ('error' in database) yield fail(`${name} ${describeError(database.error)}`)
  else yield* diagnoseServer(name, database)
  for (const { origin } of running.filter((instance) => !users.includes(instance))) {
    const copy = 'to move them to Postgres, stop it, run npm run counts -- copy, and start it with this DATABASE_URL'
    yield warn(`${origin} has its counts in memory, although DATABASE_URL is set: ${copy}`)
  }
  if ('error' in database) return
  for (const { origin, counting } of users) {
    if (!counting?.store || counting.store === database.counts?.[1]) continue
    const fix = 'restart it with this DATABASE_URL, or set its DATABASE_URL here'
    yield fail(`${origin} stores its counts in another database: ${fix}`)
  }
}

function describeError(error: unknown): string {
  const isReadOnly = error instanceof StatementError && error.cause instanceof ReadOnlyError
  const effect = 'until then, nothing is counted, and plays have null counts'
  if (isReadOnly) return `accepts no writes: promote it, or add the primary's host to DATABASE_URL; ${effect}`
  return `is unreachable (${toReason(error)}): start it, or fix DATABASE_URL; ${effect}`
}

function* diagnoseServer(name: string, { facts, counts }: Exclude<Database, { error: unknown }>): Generator<Finding> {
  const [versionNumber, , fsync, fullPageWrites, standbys, replicas] = facts
  const version = Math.floor(versionNumber / 10_000)
  const [schema = migrations.length, , sequence] = counts ?? []
  const content = counts ? `counts up to ${sequence ?? 0}` : 'no counts yet'
  yield ok(`${name} (Postgres ${version}) is up: ${content}`)
  if (fsync !== 'on' || fullPageWrites !== 'on') {
    yield fail(`${name} may corrupt the counts if it crashes: set fsync=on and full_page_writes=on`)
  }
  if (version < MIN_VERSION) yield warn(`${name} is older than Postgres ${MIN_VERSION}: upgrade it`)
  if (standbys && replicas === 0) {
    const effect = 'until then, counts by request, migrations and npm run counts -- copy are blocked'
    yield warn(`${name} has synchronous_standby_names, but no standby is connected: start one; ${effect}`)
  }
  if (schema > migrations.length) {
    yield fail(`the schema of the counts has version ${schema}, not ${migrations.length}: run the newer release`)
  } else if (schema < migrations.length) {
    const upgrade = 'reporting upgrades it when it starts with this release'
    yield warn(`the schema of the counts has version ${schema}, not ${migrations.length}: ${upgrade}`)
  }
}

/** Finds reporting's statements that wait for a connection. */
export function diagnosePools(reporting: Inspected[]): Finding[] {
  return reporting.flatMap(({ origin, metrics }) => {
    const waiting = toMetric(metrics, 'database_connections{state="waiting"}')
    const fix = 'raise DATABASE_POOL, or fix Postgres'
    return waiting > 0 ? [warn(`${waiting} statements from ${origin} wait for a connection: ${fix}`)] : []
  })
}
