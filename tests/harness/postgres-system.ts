import { expectCurrent } from './counting.ts'
import { freePort } from './ports.ts'
import { type PostgresServer, startPostgres } from './postgres.ts'
import { withResources } from './resources.ts'
import { type ServiceProcess, startService } from './service-process.ts'
import { type System, startSystem } from './system.ts'

/** `second` is a second instance of reporting that uses the same database. */
export type SharedDatabaseSystem = System & { second: ServiceProcess }

export type PostgresSystem = SharedDatabaseSystem & { postgres: PostgresServer; databaseUrl: string }

/** Starts Postgres and all services, with two instances of reporting, and waits until all counts are current. */
export async function startPostgresSystem(
  given: Record<string, string> = {},
  options: Parameters<typeof startSystem>[1] = {},
): Promise<PostgresSystem> {
  await using stack = new AsyncDisposableStack()
  const postgres = stack.use(await startPostgres())
  const databaseUrl = await postgres.createDatabase()
  const system = stack.use(await startSystemOver(databaseUrl, given, options))
  return withResources({ ...system, postgres, databaseUrl }, stack)
}

/** Starts all services, with two instances of reporting on a database, and waits until all counts are current. */
export async function startSystemOver(
  databaseUrl: string,
  given: Record<string, string> = {},
  options: Parameters<typeof startSystem>[1] = {},
): Promise<SharedDatabaseSystem> {
  await using stack = new AsyncDisposableStack()
  const settings = { ...given, DATABASE_URL: databaseUrl, FED_BY_LOG: '1' }
  const second = stack.use(await startService('reporting', settings, await freePort()))
  const system = stack.use(await startSystem(settings, { ...options, moreReportings: [second.url] }))
  await expectCurrent(second.url)
  return withResources({ ...system, second }, stack)
}
