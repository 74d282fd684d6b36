import { randomUUID } from 'node:crypto'
import { retry } from '../../shared/runtime/retry.ts'
import type { CountBatch, LogReport } from '../count-store.ts'
import type { Deduplicated } from '../deduplicator.ts'
import { startsAt } from '../starts-at.ts'
import { COUNT_COLUMNS, toCountStatement } from './count-statement.ts'
import { ASYNCHRONOUS, StatementError } from './database.ts'
import { toAscii, toIdArray, toLiteral, toNumberArray, toTextArray } from './literals.ts'
import { deduplicate, type Known, knows, type Outcome, toKnown, toKnownQuery, toProducerKey } from './serials.ts'
import { STATE_COLUMNS } from './state.ts'

/** queue-listener waits for 5 s. */
const TIMEOUT_MS = 4_000
const SETTLE_TIMEOUT_MS = 900
const MAX_CACHED_PRODUCERS = 10_000

/** Compiling the statement of a batch takes longer than running it once. */
const NOT_COMPILED = 'set local jit = off;'

type Run = (statements: string, timeoutMs: number) => Promise<readonly (readonly unknown[])[]>
type Limits = { maxProducers?: number; maxIds?: number }
type Deps = Limits & {
  run: Run
  /** Runs statements even if the database was down a moment ago. */
  probe: Run
}

/** What is known after a batch, and the id of that batch. */
type Cached = { known: Known; batch: string }

export type Applied = { deduplicated: Deduplicated; row: readonly unknown[] }

/**
 * Applies batches, each in one statement that compares and sets the position. The commit need not reach the disk: if a
 * crash loses it, the position and the counts go back together, and the batch is read from the log again. Keeps what
 * deduplication needs to know of the last producers, which stays valid until another batch moves the position. After a
 * failover, another batch may have reached the same position.
 */
export function createBatches({ run, probe, maxProducers = 100_000, maxIds = 1_000_000 }: Deps) {
  let cached: Cached | undefined

  async function load(batch: CountBatch): Promise<Known> {
    const [[value] = []] = await run(toKnownQuery(batch), TIMEOUT_MS)
    return toKnown(batch, value)
  }

  /** @returns undefined if the position is no longer the known one */
  async function tryApply(batch: CountBatch, known: Known, last?: string): Promise<Applied | undefined> {
    const outcome = deduplicate(batch, known, maxIds)
    const id = randomUUID()
    const statement = toStatement(batch, known, outcome, { id, last, maxProducers })
    cached = undefined
    const row = await commit(statement, id)
    if (!row) return undefined
    // A settled row lacks this column.
    if (row.length > COUNT_COLUMNS.more)
      cached = { batch: id, known: toCached(known, outcome, Number(row[COUNT_COLUMNS.more])) }
    return { deduplicated: outcome.deduplicated, row }
  }

  /** If the connection is lost before the result arrives, the state says if the batch was applied. */
  async function commit(statement: string, id: string): Promise<readonly unknown[] | undefined> {
    try {
      const [row] = await run(`${ASYNCHRONOUS} ${NOT_COMPILED} ${statement}`, TIMEOUT_MS)
      return row
    } catch (error) {
      if (!(error instanceof StatementError) || error.isSettled) throw error
      const [batch, ...row] = (await readState()) ?? []
      if (batch === id) return row
      throw error
    }
  }

  /** @returns undefined if the database does not respond in time */
  function readState(): Promise<readonly unknown[] | undefined> {
    const query = `select batch, ${STATE_COLUMNS} from reporting.state`
    const read = async () => (await probe(query, SETTLE_TIMEOUT_MS))[0]
    return retry(read, { signal: AbortSignal.timeout(SETTLE_TIMEOUT_MS), initialMs: 50, maxMs: 200 })
  }

  return {
    /** @returns undefined if the batch does not start at the position */
    async apply(batch: CountBatch): Promise<Applied | undefined> {
      if (cached && startsAt(cached.known.position, batch) && knows(cached.known, batch)) {
        const applied = await tryApply(batch, cached.known, cached.batch)
        if (applied) return applied
      }
      const known = await load(batch)
      return startsAt(known.position, batch) ? tryApply(batch, known) : undefined
    },
  }
}

/** Assignments that store a report. */
export function toReportAssignments({ incarnation, end, oldest }: LogReport): string[] {
  return [
    'reports = reports + 1',
    `report_incarnation = ${toLiteral(toAscii(incarnation))}`,
    `log_end = ${toLiteral(end)}`,
    `oldest = ${toLiteral(oldest)}`,
    'reported_at = clock_timestamp()',
  ]
}

function toStatement(
  batch: CountBatch,
  known: Known,
  outcome: Outcome,
  { id, last, maxProducers }: { id: string; last: string | undefined; maxProducers: number },
): string {
  const { deduplicated, next } = outcome
  const forgotten = toForgotten(batch, outcome, next.producers - maxProducers)
  const isForgetting = forgotten.length > 0
  const set = [
    `batch = ${toLiteral(id)}`,
    `incarnation = ${toLiteral(toAscii(batch.incarnation))}`,
    `sequence = ${batch.through}`,
    `is_complete = ${next.isComplete}${isForgetting ? ' and not exists (select from forgotten)' : ''}`,
    `producers = ${next.producers}${isForgetting ? ` - ${FORGOTTEN_COUNT}` : ''}`,
    ...(outcome.ids.length > 0 ? [`generation = ${next.generation}`, `known_ids = ${next.knownIds}`] : []),
    ...(deduplicated.gaps.length > 0 ? toLostAssignments(next) : []),
    ...toReportAssignments(batch),
  ]
  const { position } = known
  const where = position
    ? `incarnation = ${toLiteral(toAscii(position.incarnation))} and sequence = ${position.sequence}`
    : 'incarnation is null'
  const isLast = last === undefined ? '' : ` and batch = ${toLiteral(last)}`
  const after = [...toWrites(outcome), ...(isForgetting ? [DELETE_FORGOTTEN] : [])]
  return toCountStatement({ set, where: where + isLast, views: deduplicated.views, before: forgotten, after }, [
    isForgetting ? FORGOTTEN_COUNT : '0',
  ])
}

/** Assignments that store the lost views. */
export function toLostAssignments({ lost }: Pick<Known, 'lost'>): string[] {
  const gaps = lost.gaps.map(({ producer, from, to }) => `{"producer":${toAscii(producer)},"from":${from},"to":${to}}`)
  return [`lost_views = ${lost.views}`, `gaps = ${toLiteral(`[${gaps.join(',')}]`)}`]
}

function toWrites({ changed, ids }: Outcome): string[] {
  const writes: string[] = []
  if (changed.length > 0) {
    const names = changed.map(([name]) => name)
    const columns = (['serial', 'sequence', 'reported'] as const).map((column) =>
      toNumberArray(changed.map(([, last]) => last[column])),
    )
    writes.push(`producer_written as (
      insert into reporting.producer (key, name, serial, sequence, reported)
      select * from unnest(${toIdArray(names.map(toProducerKey))}, ${toTextArray(names.map(toAscii))}, ${columns.join(', ')})
        as last(key, name, serial, sequence, reported) where exists (select from moved)
      on conflict (key) do update
      set serial = excluded.serial, sequence = excluded.sequence, reported = excluded.reported)`)
  }
  if (ids.length > 0) {
    const [keys, generations] = [ids.map(([key]) => key), ids.map(([, generation]) => generation)]
    writes.push(`id_written as (
      insert into reporting.known_id (key, generation)
      select * from unnest(${toIdArray(keys)}, ${toNumberArray(generations)}) as known(key, generation)
      where exists (select from moved)
      on conflict (key) do update set generation = excluded.generation)`)
  }
  return writes
}

/**
 * Forgets producers whose last message has expired, and above the maximum those that have been silent longest, as the
 * deduplicator does with the producers of the batch.
 */
function toForgotten(batch: CountBatch, { forgotten, next }: Outcome, excess: number): string[] {
  const { first = 1 } = batch
  if (first <= 1 && excess <= 0 && forgotten.length === 0) return []
  const own = `key <> all(${toIdArray([...next.serials.keys()].map(toProducerKey))})`
  return [
    `forgotten as materialized (
      select key from reporting.producer where key = any(${toIdArray(forgotten.map(toProducerKey))})
      union select key from reporting.producer where sequence < ${first} and ${own}
      union (select key from reporting.producer where ${own} order by sequence limit ${Math.max(0, excess)}))`,
  ]
}

const FORGOTTEN_COUNT = '(select count(*) from forgotten)'
const DELETE_FORGOTTEN = `producer_deleted as (
  delete from reporting.producer where key in (select key from forgotten) and exists (select from moved))`

function toCached(known: Known, { next }: Outcome, forgotten: number): Known {
  const serials = new Map([...known.serials, ...next.serials])
  const isFresh = forgotten > 0 || serials.size > MAX_CACHED_PRODUCERS
  return {
    ...next,
    isComplete: next.isComplete && forgotten === 0,
    producers: next.producers - forgotten,
    serials: isFresh ? next.serials : serials,
  }
}
