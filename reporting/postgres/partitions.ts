import { ASYNCHRONOUS, type Run } from './database.ts'

const DAY_MS = 86_400_000
const TIMEOUT_MS = 4_000
/** A statement that changes a partition or its index waits for readers, and blocks new readers while it waits. */
const LOCK_TIMEOUT = `set local lock_timeout = '500ms';`
/** Bounds how long a statement takes. */
const MAX_DELETED = 5_000
/**
 * The maximum number of days whose partitions are summarized at once. The clock is 0 before the first view, so without
 * this limit, the first call after that view would summarize every day since 1970.
 */
const MAX_SUMMARIZED = 31

type Deps = {
  run: Run
  /** How long verdicts are kept. */
  maxAgeMs: number
  /** How far back from the log's clock the rules need verdicts. */
  windowMs: number
}

/** Returns the start of the day that contains a time. Both are in milliseconds since 1970. */
export function toDay(time: number): number {
  return Math.floor(time / DAY_MS) * DAY_MS
}

export function createPartition(day: number): string {
  return `create table if not exists reporting.${toName(day)} partition of reporting.verdict
    for values from (${day}) to (${day + DAY_MS})`
}

/**
 * Manages the verdict partitions, one per day of the log's clock. If a partition cannot be created, the verdicts of
 * that day go to the default partition, so that counting continues.
 */
export function createPartitions({ run, maxAgeMs, windowMs }: Deps) {
  /** The days whose partitions this instance has tried to create since the last maintenance. */
  let tried = new Set<number>()
  /** The last day whose partition was summarized. */
  let summarizedDay: number | undefined

  async function create(day: number): Promise<void> {
    await run(`${ASYNCHRONOUS} ${LOCK_TIMEOUT} ${createPartition(day)}`, TIMEOUT_MS)
  }

  async function ensure(days: readonly number[]): Promise<void> {
    for (const day of days) {
      if (tried.has(day)) continue
      tried.add(day)
      await create(day).catch(() => undefined)
    }
  }

  async function dropOld(clock: number): Promise<void> {
    const before = Math.min(Date.now() - maxAgeMs, clock - windowMs)
    const rows = await run(PARTITIONS, TIMEOUT_MS)
    const days = rows.map(([name]) => toStart(String(name))).filter((day) => day + DAY_MS <= before)
    for (const day of days)
      await run(`${ASYNCHRONOUS} ${LOCK_TIMEOUT} drop table if exists reporting.${toName(day)}`, TIMEOUT_MS)
    for (let deleted = MAX_DELETED; deleted === MAX_DELETED; ) {
      deleted = Number((await run(toDelete(before), TIMEOUT_MS))[0]?.[0])
    }
  }

  /** Summarizes the partitions that may have received rows since the previous call. */
  async function summarize(clock: number): Promise<void> {
    const names = [DEFAULT]
    const firstDay = Math.max(summarizedDay ?? toDay(clock - windowMs), toDay(clock) - MAX_SUMMARIZED * DAY_MS)
    for (let day = firstDay; day <= clock; day += DAY_MS) names.push(toName(day))
    await run(toSummary(names), TIMEOUT_MS)
    summarizedDay = toDay(clock)
  }

  async function turnOffAutosummarize(): Promise<void> {
    for (const [index] of await run(AUTOSUMMARIZED, TIMEOUT_MS)) {
      const statement = `alter index reporting.${index} set (autosummarize = off)`
      await run(`${LOCK_TIMEOUT} ${statement}`, TIMEOUT_MS).catch(() => undefined)
    }
  }

  return {
    /** Creates the partitions for the given days. Never rejects. */
    ensure,
    /** Creates the next partitions, drops the expired ones, and keeps the BRIN index up to date. */
    async maintain(): Promise<void> {
      tried = new Set()
      await ensure([toDay(Date.now()), toDay(Date.now()) + DAY_MS])
      const [[clock] = []] = await run('select clock from reporting.state', TIMEOUT_MS)
      await dropOld(Number(clock))
      await summarize(Number(clock))
      await turnOffAutosummarize()
    },
  }
}

const DEFAULT = 'verdict_default'

function toName(day: number): string {
  return `verdict_${new Date(day).toISOString().slice(0, 10).replaceAll('-', '')}`
}

function toStart(name: string): number {
  return Date.parse(name.replace(/^verdict_(\d{4})(\d\d)(\d\d)$/, '$1-$2-$3'))
}

const PARTITIONS = `select relname from pg_class join pg_inherits on inhrelid = pg_class.oid
  where inhparent = 'reporting.verdict'::regclass and relname <> '${DEFAULT}'`

/** Deletes at most MAX_DELETED rows from each of two tables, and returns the larger number of deleted rows. */
function toDelete(before: number): string {
  return `${ASYNCHRONOUS} delete from reporting.verdict_day where day + ${DAY_MS} <= ${before};
    with times as (delete from reporting.watched where ctid = any(array(
        select ctid from reporting.watched where clock < ${toDay(before)} order by clock limit ${MAX_DELETED}))
        returning 1),
      verdicts as (delete from reporting.${DEFAULT} where ctid = any(array(
        select ctid from reporting.${DEFAULT} where clock < ${toDay(before)} limit ${MAX_DELETED})) returning 1)
    select greatest((select count(*) from times), (select count(*) from verdicts))`
}

/**
 * During a replay, Postgres drops most requests to summarize an index automatically. It logs each dropped request with
 * the current statement, which may take megabytes. A partitioned index cannot be changed, so each partition's index is
 * changed instead.
 */
const AUTOSUMMARIZED = `select relname from pg_class
  where relkind = 'i' and relnamespace = 'reporting'::regnamespace and 'autosummarize=on' = any(reloptions)`

/**
 * Summarizes new rows in the BRIN index. Every query that uses this index reads all rows that are not summarized yet.
 * The lock timeout is shorter than deadlock_timeout, after which Postgres would cancel an autovacuum that holds the
 * lock.
 */
function toSummary(names: readonly string[]): string {
  const list = names.map((name) => `'${name}'`).join(', ')
  return `${LOCK_TIMEOUT} select brin_summarize_new_values(indexrelid) from pg_index
    join pg_class as relation on relation.oid = indrelid
    join pg_class as index on index.oid = indexrelid join pg_am on pg_am.oid = index.relam
    where relation.relnamespace = 'reporting'::regnamespace and relation.relname in (${list}) and amname = 'brin'`
}
