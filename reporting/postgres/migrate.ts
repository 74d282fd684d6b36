import type { Database, Send } from './database.ts'
import { migrations } from './schema.ts'

/** An arbitrary number that no other program uses for an advisory lock in the same database. */
const LOCK = 7_305_813_420_951
const CHECK_TIMEOUT_MS = 1_000
const TIMEOUT_MS = 30_000
/**
 * While a migration waits for a lock, for example one held by a backup, reads queue behind it. The wait is therefore
 * shorter than the read timeout, and the next poll retries the migration.
 */
const LOCK_TIMEOUT = `set local lock_timeout = '200ms'`

const EXISTS = `to_regclass('reporting.schema') is not null`
const VERSION = 'select version from reporting.schema'

/** True unless another release has changed the schema since this instance checked it. */
export const IS_CURRENT = `exists (select from reporting.schema where version = ${migrations.length})`

export class NewerSchemaError extends Error {
  override name = 'NewerSchemaError'
}

/**
 * Upgrades the schema in one transaction. Several instances may try at once: an advisory lock makes them take turns.
 * @throws NewerSchemaError if a later release has upgraded the schema
 */
export async function migrate(database: Database, steps: readonly string[] = migrations): Promise<void> {
  const [[isCreated] = []] = await database.run(`select ${EXISTS}`, CHECK_TIMEOUT_MS)
  if (isCreated) {
    const [[version] = []] = await database.run(VERSION, CHECK_TIMEOUT_MS)
    if (Number(version) === steps.length) return
  }
  await database.transaction(async (send) => {
    const version = await readVersion(send)
    if (version > steps.length) {
      const versions = `version ${version}, but this release supports version ${steps.length}`
      throw new NewerSchemaError(`the schema of the counts has ${versions}: run the newer release`)
    }
    if (version === steps.length) return
    // Batches from older releases wait for this lock, and then detect the new version.
    if (version > 0) await send(`${LOCK_TIMEOUT}; lock table reporting.state in exclusive mode`)
    await send(
      `${LOCK_TIMEOUT}; ${steps.slice(version).join(';')}; update reporting.schema set version = ${steps.length}`,
    )
  }, TIMEOUT_MS)
}

/** Takes the lock, and returns the schema version, which is 0 for an empty database. */
async function readVersion(send: Send): Promise<number> {
  const [[isCreated] = []] = await send(`select pg_advisory_xact_lock(${LOCK}); select ${EXISTS}`)
  if (!isCreated) {
    await send(`
      create schema if not exists reporting;
      create table reporting.schema (version bigint not null);
      insert into reporting.schema values (0)`)
  }
  const [[version] = []] = await send(VERSION)
  return Number(version)
}
