import { randomUUID } from 'node:crypto'
import { retry } from '../../shared/runtime/retry.ts'
import type { CountBatch, LogReport } from '../count-store.ts'
import type { Verdicts } from '../engine.ts'
import { DEFAULT_RULES, type RulesVersion, ruleSets } from '../rules/rule-sets.ts'
import { startsAt } from '../starts-at.ts'
import { COUNT_COLUMNS, toCountStatement } from './count-statement.ts'
import { ASYNCHRONOUS, type Rows, StatementError } from './database.ts'
import { createJudges, type State } from './judges.ts'
import { MAX_KEYS, toKeyedWrites } from './keyed-views.ts'
import { type Known, knows, toKnown, toKnownQuery, toProducerKey } from './known.ts'
import { toAscii, toIdArray, toLiteral, toNumberArray, toTextArray } from './literals.ts'
import { OtherRulesError } from './other-rules.ts'
import { type Outcome, toOutcome } from './outcome.ts'
import { toSeriesWrites } from './series.ts'
import { STATE_COLUMNS } from './state.ts'
import { daysOf, toVerdictWrites } from './verdict-writes.ts'

/** queue-listener waits for 5 s. */
const TIMEOUT_MS = 4_000
const SETTLE_TIMEOUT_MS = 900
const MAX_CACHED_PRODUCERS = 10_000

/** Compiling the statement of a batch takes longer than running it once, and sorting its ids longer than hashing them. */
const PLANNING = 'set local jit = off; set local enable_mergejoin = off;'

type Run = (statements: string, timeoutMs: number) => Promise<Rows>
export type Limits = { maxProducers?: number; maxIds?: number; maxKeys?: number }
type Deps = Limits & {
  run: Run
  /** Runs statements even if the database was down a moment ago. */
  probe: Run
  /** Creates the partitions of the verdicts of some days. */
  ensure: (days: readonly number[]) => Promise<void>
  rules?: RulesVersion
}

export type Applied = { verdicts: Verdicts; row: readonly unknown[] }

/**
 * Applies batches, each in one statement that compares and sets the position. The commit need not reach the disk: if a
 * crash loses it, the position and the counts go back together, and the batch is read from the log again. Keeps what
 * is known after the last batch, which stays valid until another batch moves the position. After a failover, another
 * batch may have reached the same position.
 */
export function createBatches({
  run,
  probe,
  ensure,
  rules = DEFAULT_RULES,
  maxProducers = 100_000,
  maxIds = 1_000_000,
  maxKeys = MAX_KEYS,
}: Deps) {
  const judges = createJudges({ run, rules: ruleSets[rules] })
  let cached: State | undefined

  async function load(batch: CountBatch): Promise<Known> {
    const [[value] = []] = await run(toKnownQuery(batch), TIMEOUT_MS)
    const known = toKnown(batch, value)
    const { rules: found } = known.origin
    // Instances with different rules may have started at the same time.
    if (found !== undefined && found !== rules) throw new OtherRulesError(found, rules)
    return known
  }

  /** @returns undefined if the position is no longer the known one */
  async function tryApply(batch: CountBatch, { known, judge }: State): Promise<Applied | undefined> {
    const outcome = toOutcome(batch, known, judge, { rules, maxIds, maxKeys })
    await ensure(daysOf(batch, outcome))
    const id = randomUUID()
    const row = await commit(toStatement(batch, known, outcome, { id, maxProducers }), id)
    if (!row) return undefined
    // A settled row lacks this column.
    if (row.length > COUNT_COLUMNS.more)
      cached = { judge, known: { ...toCached(known, outcome, Number(row[COUNT_COLUMNS.more])), batch: id } }
    return { verdicts: outcome.verdicts, row }
  }

  /** If the connection is lost before the result arrives, the state says if the batch was applied. */
  async function commit(statement: string, id: string): Promise<readonly unknown[] | undefined> {
    try {
      const [row] = await run(`${ASYNCHRONOUS} ${PLANNING} ${statement}`, TIMEOUT_MS)
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
      // Until the batch is committed, no other one may use the judge.
      let last = cached
      cached = undefined
      if (last && startsAt(last.known.position, batch) && knows(last.known, batch)) {
        const applied = await tryApply(batch, last)
        if (applied) return applied
        last = undefined
      }
      const known = await load(batch)
      if (!startsAt(known.position, batch)) {
        cached ??= last
        return undefined
      }
      return tryApply(batch, { known, judge: await judges.at(known, last) })
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
  { id, maxProducers }: { id: string; maxProducers: number },
): string {
  const { verdicts, next, keyed } = outcome
  const forgotten = toForgotten(batch, outcome, next.producers - maxProducers)
  const isForgetting = forgotten.length > 0
  const rejected = verdicts.keysReused + countSkipped(batch)
  const set = [
    `batch = ${toLiteral(id)}`,
    `incarnation = ${toLiteral(toAscii(batch.incarnation))}`,
    `sequence = ${batch.through}`,
    `is_complete = ${next.isComplete}${isForgetting ? ' and not exists (select from forgotten)' : ''}`,
    `producers = ${next.producers}${isForgetting ? ` - ${FORGOTTEN_COUNT}` : ''}`,
    `clock = ${next.clock}`,
    `origin = ${next.origin.number}`,
    ...(verdicts.retried > 0 ? [`retried = retried + ${verdicts.retried}`] : []),
    ...(rejected > 0 ? [`rejected = rejected + ${rejected}`] : []),
    ...(keyed.length > 0 ? [`keyed = ${next.keyed}`] : []),
    ...(outcome.ids.length > 0 ? [`generation = ${next.generation}`, `known_ids = ${next.knownIds}`] : []),
    ...(verdicts.gaps.length > 0 ? toLostAssignments(next) : []),
    ...toReportAssignments(batch),
  ]
  const { position } = known
  const where = position
    ? `incarnation = ${toLiteral(toAscii(position.incarnation))} and sequence = ${position.sequence}`
    : 'incarnation is null'
  const isLast = ` and batch is not distinct from ${toLiteral(known.batch)}`
  const after = [
    ...toWrites(outcome),
    ...toKeyedWrites(keyed),
    ...toVerdictWrites(batch, known, outcome),
    ...toSeriesWrites(verdicts.views, next.clock),
    ...(isForgetting ? [DELETE_FORGOTTEN] : []),
  ]
  return toCountStatement({ set, where: where + isLast, views: verdicts.views, before: forgotten, after }, [
    isForgetting ? FORGOTTEN_COUNT : '0',
  ])
}

/** The number of events in dead letters: at least one in each, because their ids may be unreadable. */
function countSkipped({ skipped = [] }: CountBatch): number {
  return skipped.reduce((sum, { ids }) => sum + Math.max(1, ids.length), 0)
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

function toCached(known: Known, { next }: Outcome, forgotten: number): Outcome['next'] {
  const serials = new Map([...known.serials, ...next.serials])
  const isFresh = forgotten > 0 || serials.size > MAX_CACHED_PRODUCERS
  return {
    ...next,
    isComplete: next.isComplete && forgotten === 0,
    producers: next.producers - forgotten,
    serials: isFresh ? next.serials : serials,
  }
}
