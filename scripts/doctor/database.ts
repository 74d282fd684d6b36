import { z } from 'zod'
import { openDatabase, ReadOnlyError, StatementError } from '../../reporting/postgres/database.ts'
import { migrations } from '../../reporting/postgres/schema.ts'
import { services } from '../../services.ts'
import { toReason } from '../../shared/runtime/reason.ts'
import type { Secret } from '../../shared/runtime/secret.ts'
import { type Finding, findingsAbout } from './finding.ts'
import { toMetric } from './metrics.ts'
import type { System } from './system.ts'

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

/** Checks Postgres, and which instances of reporting use it. */
export async function* checkDatabase({ settings, uses, inspectedOf }: System): AsyncGenerator<Finding> {
  const urls = settings.DATABASE_URL
  const name = urls?.join() ?? ''
  const server = urls && (await readServer(urls).catch((error: unknown) => ({ error })))
  if (server && 'error' in server) yield fail(`${name} ${describeError(server.error)}`)
  else if (server) yield* diagnoseServer(name, server)
  if (!urls && (await uses('postgres'))) {
    yield warn('reporting uses Postgres: set DATABASE_URL here too, so that it is checked')
  }
  for (const { origin, status, dependencies, counting, metrics } of await inspectedOf(services.reporting)) {
    const isUser = 'postgres' in dependencies
    if (urls && status && !isUser) {
      const copy = 'to move them to Postgres, stop it, run npm run counts -- copy, and start it with this DATABASE_URL'
      yield warn(`${origin} has its counts in memory, although DATABASE_URL is set: ${copy}`)
    }
    const isKnown = server && 'counts' in server && isUser && counting?.store
    if (isKnown && counting.store !== server.counts?.[1]) {
      const fix = 'restart it with this DATABASE_URL, or set its DATABASE_URL here'
      yield fail(`${origin} stores its counts in another database: ${fix}`)
    }
    const waiting = toMetric(metrics, 'database_connections{state="waiting"}')
    const fix = 'raise DATABASE_POOL, or fix Postgres'
    if (waiting > 0) yield warn(`${waiting} statements from ${origin} wait for a connection: ${fix}`)
  }
}

/** Reads the state of the host that accepts writes. */
async function readServer(urls: readonly Secret[]) {
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
      if (host >= urls.length) throw error
    }
  }
}

function describeError(error: unknown): string {
  const isReadOnly = error instanceof StatementError && error.cause instanceof ReadOnlyError
  const effect = 'until then, nothing is counted, and plays have null counts'
  if (isReadOnly) return `accepts no writes: promote it, or add the primary's host to DATABASE_URL; ${effect}`
  return `is unreachable (${toReason(error)}): start it, or fix DATABASE_URL; ${effect}`
}

type Server = Awaited<ReturnType<typeof readServer>>

function* diagnoseServer(name: string, { facts, counts }: Server): Generator<Finding> {
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
