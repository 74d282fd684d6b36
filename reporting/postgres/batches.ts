import { randomUUID } from 'node:crypto'
import { retry } from '../../shared/runtime/retry.ts'
import type { CountBatch } from '../count-store.ts'
import type { Verdicts } from '../engine.ts'
import { type RulesVersion, ruleSets, watchRuleOf } from '../rules/rule-sets.ts'
import { startsAt } from '../starts-at.ts'
import { toBatchStatement } from './batch-statement.ts'
import { COUNT_COLUMNS } from './count-statement.ts'
import { ASYNCHRONOUS, type Run, StatementError } from './database.ts'
import { createJudges, type State } from './judges.ts'
import { type KnownState, knows, toKnownQuery, toKnownState } from './known.ts'
import { OtherRulesError } from './other-rules.ts'
import { type Outcome, toOutcome } from './outcome.ts'
import { STATE_COLUMNS } from './state.ts'
import { daysOf } from './verdict-writes.ts'

/** Must be shorter than queue-listener's timeout of 5 s. */
const TIMEOUT_MS = 4_000
const SETTLE_TIMEOUT_MS = 900
const MAX_CACHED_PRODUCERS = 10_000

/** JIT compilation takes longer than the statement itself. Sorting ids for a join takes longer than hashing them. */
const PLANNING = 'set local jit = off; set local enable_mergejoin = off;'

export type Limits = { maxProducers?: number | undefined; maxIds?: number | undefined; maxKeys: number }
type Deps = Limits & {
  run: Run
  /** Runs statements even while the database is considered down. */
  probe: Run
  /** Creates the verdict partitions for the given days. */
  ensure: (days: readonly number[]) => Promise<void>
  rules: RulesVersion
}

type Applied = { verdicts: Verdicts; row: readonly unknown[] }

/**
 * Applies each batch in one statement that compares and sets the position. Commits are asynchronous: if a crash loses a
 * commit, the position and the counts roll back together, and the batch is read from the log again. The state after the
 * last batch is cached; it stays valid until another batch moves the position. The statement also compares the last
 * batch's id, because another batch may have reached the same position after a failover.
 */
export function createBatches({
  run,
  probe,
  ensure,
  rules,
  maxProducers = 100_000,
  maxIds = 1_000_000,
  maxKeys,
}: Deps) {
  const judges = createJudges({ run, rules: ruleSets[rules] })
  const watchRule = watchRuleOf(rules)
  const hasWatch = watchRule !== undefined
  let cached: State | undefined

  async function load(batch: CountBatch): Promise<KnownState> {
    const [[value] = []] = await run(toKnownQuery(batch, hasWatch), TIMEOUT_MS)
    const known = toKnownState(batch, value)
    const { rules: found } = known.origin
    // Instances with different rules may have started at the same time, so the check at startup is not enough.
    if (found !== undefined && found !== rules) throw new OtherRulesError(found, rules)
    return known
  }

  /** @returns undefined if the position has changed since `known` was read */
  async function tryApply(batch: CountBatch, { known, judge }: State): Promise<Applied | undefined> {
    const outcome = toOutcome(batch, known, judge, { rules, maxIds, maxKeys })
    await ensure(daysOf(batch, outcome))
    const id = randomUUID()
    const row = await commit(toBatchStatement(batch, known, outcome, { id, maxProducers, watchRule }), id)
    if (!row) return undefined
    // A row that was read after a lost connection lacks this column.
    if (row.length > COUNT_COLUMNS.more)
      cached = { judge, known: { ...toCached(known, outcome, Number(row[COUNT_COLUMNS.more])), batch: id } }
    return { verdicts: outcome.verdicts, row }
  }

  /** Runs the statement. If the connection is lost before the result arrives, reads whether the batch was applied. */
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
      // No other batch may use the judge until this one is committed.
      let last = cached
      cached = undefined
      if (last && startsAt(last.known.position, batch) && knows(last.known, batch, hasWatch)) {
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

function toCached(known: KnownState, { next }: Outcome, forgotten: number): Outcome['next'] {
  const serials = new Map([...known.serials, ...next.serials])
  const isFresh = forgotten > 0 || serials.size > MAX_CACHED_PRODUCERS
  return {
    ...next,
    isComplete: next.isComplete && forgotten === 0,
    producers: next.producers - forgotten,
    serials: isFresh ? next.serials : serials,
  }
}
