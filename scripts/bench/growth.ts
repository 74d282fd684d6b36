import { statfs } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { z } from 'zod'
import { UsageError } from '../../shared/runtime/command-line.ts'
import { expectCurrent } from '../../tests/harness/counting.ts'
import { eventually } from '../../tests/harness/eventually.ts'
import { metric } from '../../tests/harness/plays.ts'
import { freePort } from '../../tests/harness/ports.ts'
import { hasPostgres, startPostgres } from '../../tests/harness/postgres.ts'
import { withResources } from '../../tests/harness/resources.ts'
import { type ServiceProcess, startService } from '../../tests/harness/service-process.ts'
import { createTempDirectory } from '../../tests/harness/temp-directory.ts'
import { type FilledLog, type LogSize, startFilledLog } from './filled-log.ts'

/** An upper bound on the disk space that a view takes in the log, the checkpoint and Postgres. */
const BYTES_PER_VIEW = 700
/** The interval may be short, because reporting spends at most a twentieth of its time on checkpoints. */
const CHECKPOINT_EVERY = '5s'
const STARTS = 5
const TIMEOUT_MS = 3_600_000

/** Measures how long reporting takes to start with a long log, its memory, and the disk space of the log and counts. */
export async function* measureGrowth(size: LogSize): AsyncGenerator<string> {
  const { bavail, bsize } = await statfs(tmpdir())
  if (bavail * bsize < size.views * BYTES_PER_VIEW) throw new UsageError(`${tmpdir()} has too little free space`)
  const { seconds, result } = await time(() => startFilledLog(size))
  await using log = result
  yield `log of ${text(log.views)} views of ${text(log.users)} users: ${inMegabytes(log.bytes)}, \
${text(log.bytes / log.views)} bytes per view; appended in ${text(seconds)} s`
  yield* measureMaps(log)
  if (hasPostgres) yield* measurePostgres(log)
  else yield 'Postgres is not installed'
}

async function* measureMaps(log: FilledLog): AsyncGenerator<string> {
  const empty = await residentOfEmpty()
  await using directory = await createTempDirectory('growth')
  const started = await startCounting(log, { DATA_DIR: directory.path, CHECKPOINT_EVERY })
  await using reporting = started.reporting
  yield `maps, from the log alone: ${started.seconds.toFixed(1)} s, ${text(log.views / started.seconds)} views/s`
  await eventually(async () => {
    if ((await metric(reporting.url, /^checkpoint_age_seconds /)) > 0) throw new Error('the counts are not saved')
  }, TIMEOUT_MS)
  const bytes = await metric(reporting.url, /^checkpoint_bytes /)
  const write = await metric(reporting.url, /^checkpoint_write_seconds /)
  const replayed = await residentOf(reporting)
  yield `maps, from a checkpoint: ${await restart(reporting, log)}`
  const resident = await residentOf(reporting)
  yield `maps: checkpoint ${inMegabytes(bytes)}, ${text(bytes / log.users)} bytes per user, written in ${write.toFixed(2)} s; \
resident ${inMegabytes(replayed)} after the replay, ${inMegabytes(resident)} after the last start, \
of which ${text((resident - empty) / log.users)} bytes per user (without users: ${inMegabytes(empty)})`
}

async function* measurePostgres(log: FilledLog): AsyncGenerator<string> {
  await using postgres = await startPostgres()
  const DATABASE_URL = await postgres.createDatabase()
  const started = await startCounting(log, { DATABASE_URL })
  await using reporting = started.reporting
  const { batches, database, users, wal } = await postgres.use(DATABASE_URL, async (client) => {
    const { rows } = await client.query(SIZES)
    return Sizes.parse(rows[0])
  })
  const rate = `${text(log.views / started.seconds)} views/s`
  yield `Postgres (fsync on), replay: ${started.seconds.toFixed(1)} s, ${rate} in batches of ${text(log.views / batches)}`
  yield `Postgres, start: ${await restart(reporting, log)}`
  yield `Postgres: ${inMegabytes(database)}, ${text(users / log.users)} bytes per user in its table and index; \
${text(wal / log.views)} bytes of WAL per view; resident ${inMegabytes(await residentOf(reporting))} in reporting`
}

const SIZES = `select (select version from reporting.state) as batches,
  pg_database_size(current_database()) as database, pg_total_relation_size('reporting.user_views') as users,
  pg_current_wal_lsn() - '0/0'::pg_lsn as wal`
const number = z.coerce.number()
const Sizes = z.object({ batches: number, database: number, users: number, wal: number })

/** Starts queue-listener and then reporting with empty counts, and waits until reporting has counted the log. */
async function startCounting(log: FilledLog, settings: Record<string, string>) {
  await using stack = new AsyncDisposableStack()
  const port = await freePort()
  const REPORTING_URL = `http://127.0.0.1:${port}`
  stack.use(await startService('queue-listener', { NATS_URL: log.url, REPORTING_URL }))
  const { seconds, result } = await time(async () => {
    const reporting = stack.use(await startService('reporting', { ...settings, FED_BY_LOG: '1' }, port))
    await expectRight(reporting, log)
    return reporting
  })
  return { seconds, reporting: withResources(result, stack) }
}

/** Restarts reporting `STARTS` times. Returns the median and the range of the start times. */
async function restart(reporting: ServiceProcess, log: FilledLog): Promise<string> {
  const all: number[] = []
  for (let n = 0; n < STARTS; n += 1) {
    await reporting.signal('SIGTERM')
    const { seconds } = await time(async () => {
      await reporting.start()
      await expectRight(reporting, log)
    })
    all.push(seconds)
  }
  const [fastest = 0, , median = 0, , slowest = 0] = all.toSorted((a, b) => a - b)
  return `${median.toFixed(2)} s (median of ${STARTS}; ${fastest.toFixed(2)} to ${slowest.toFixed(2)})`
}

/** Waits until reporting is ready, and verifies its counts. */
async function expectRight({ url }: ServiceProcess, log: FilledLog): Promise<void> {
  await expectCurrent(url, TIMEOUT_MS)
  await log.verify(url)
}

async function residentOfEmpty(): Promise<number> {
  await using reporting = await startService('reporting')
  return await residentOf(reporting)
}

function residentOf({ url }: ServiceProcess): Promise<number> {
  return metric(url, /^process_resident_memory_bytes /)
}

async function time<Result>(work: () => Promise<Result>): Promise<{ seconds: number; result: Result }> {
  const startedAt = performance.now()
  const result = await work()
  return { seconds: (performance.now() - startedAt) / 1_000, result }
}

function inMegabytes(bytes: number): string {
  return `${text(bytes / 1e6)} MB`
}

function text(value: number): string {
  return Math.round(value).toLocaleString('en')
}
