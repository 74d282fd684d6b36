import type { DependencyState } from '../../shared/contracts/readiness.ts'
import type { Logger } from '../../shared/runtime/log.ts'
import type { Secret } from '../../shared/runtime/secret.ts'
import type { CountStore, ReportObserver } from '../count-store.ts'
import { DEFAULT_RULES, type RulesVersion, ruleSets, watchRuleOf } from '../rules/rule-sets.ts'
import { OPEN_MS } from '../watch/watch-time.ts'
import { toReportAssignments } from './batch-statement.ts'
import { createBatches, type Limits } from './batches.ts'
import { createChangeFeed } from './change-feed.ts'
import { COUNT_COLUMNS } from './count-statement.ts'
import { ASYNCHRONOUS, openDatabase, type StatementError, type Usage } from './database.ts'
import { createDirectCounts } from './direct-counts.ts'
import { windowOf } from './judges.ts'
import { MAX_KEYS } from './keyed-views.ts'
import { openLink } from './link.ts'
import { createPartitions } from './partitions.ts'
import { startPruning } from './pruning.ts'
import { createReads } from './reads.ts'
import { createReportWatch } from './report-watch.ts'
import { STATE_COLUMNS, type State, toState } from './state.ts'
import { MAX_CANDIDATES, RANKINGS, toCut } from './top.ts'

/** Must be shorter than play's lookup timeout of 500 ms. */
const READ_TIMEOUT_MS = 400
const WRITE_TIMEOUT_MS = 4_000
const VERDICTS_MAX_AGE_MS = 90 * 86_400_000

export type PostgresCountStore = CountStore &
  AsyncDisposable & {
    state(): DependencyState
    reason(): string | undefined
    usage(): Usage
  }

type Options = Partial<Limits> & {
  /** A URL for each database host. */
  urls: readonly Secret[]
  maxConnections: number
  log: Logger
  onReport?: ReportObserver
  onFailure?: (error: StatementError) => void
  onRetry?: (code: string) => void
  /** The version of the view rules. */
  rules?: RulesVersion
  /** How long verdicts are kept. */
  verdictsMaxAgeMs?: number
}

/** A count store in Postgres, for any number of instances. */
export function openPostgresCountStore({
  onReport = () => {},
  log,
  rules = DEFAULT_RULES,
  verdictsMaxAgeMs: maxAgeMs = VERDICTS_MAX_AGE_MS,
  maxProducers,
  maxIds,
  maxKeys = MAX_KEYS,
  ...options
}: Options): PostgresCountStore {
  const database = openDatabase(options)
  const reports = createReportWatch(onReport)
  const run = (statements: string, timeoutMs: number) => link.run(statements, timeoutMs)
  const feed = createChangeFeed(run)
  const countDirectly = createDirectCounts(run)
  const windowMs = watchRuleOf(rules) ? OPEN_MS : windowOf(ruleSets[rules])
  const partitions = createPartitions({ run, maxAgeMs, windowMs })
  const batches = createBatches({
    run,
    probe: database.run,
    ensure: partitions.ensure,
    rules,
    maxProducers,
    maxIds,
    maxKeys,
  })

  function take(state: State): void {
    reports.take(state)
    feed.advance(state.version)
  }

  const link = openLink({
    database,
    rules,
    log,
    onPoll: () => {
      const takeReport = reports.poll()
      return (state, changedAt) => {
        takeReport(state)
        feed.advance(state.version, changedAt)
      }
    },
  })

  /** Runs in the background. Until a cut succeeds, there are merely more candidates than necessary. */
  function cutIfNeeded(row: readonly unknown[]): void {
    for (const [index, ranking] of RANKINGS.entries()) {
      if (Number(row[COUNT_COLUMNS.candidates + index] ?? 0) > MAX_CANDIDATES)
        run(`${ASYNCHRONOUS} ${toCut(ranking)}`, WRITE_TIMEOUT_MS).catch(() => undefined)
    }
  }

  const pruning = startPruning({ run, partitions, maxKeys })

  return {
    id: link.storeId,
    state: link.state,
    reason: link.reason,
    usage: database.usage,
    follow: feed.follow,
    ...createReads((query) => run(query, READ_TIMEOUT_MS), rules),
    async count(play) {
      const row = await countDirectly(play)
      cutIfNeeded(row)
      take(toState(row))
      return {
        userviews: Number(row[COUNT_COLUMNS.userViews]),
        assetviews: Number(row[COUNT_COLUMNS.assetViews]),
      }
    },
    async apply(batch) {
      const applied = await batches.apply(batch)
      if (!applied) return undefined
      cutIfNeeded(applied.row)
      take(toState(applied.row))
      return applied.verdicts
    },
    async report(report) {
      const set = toReportAssignments(report).join(', ')
      const update = `${ASYNCHRONOUS} update reporting.state set ${set} returning ${STATE_COLUMNS}`
      const [row = []] = await run(update, WRITE_TIMEOUT_MS)
      const state = toState(row)
      take(state)
      return state.position
    },
    async [Symbol.asyncDispose]() {
      // Closing the connections ends a statement that hangs.
      await Promise.all([pruning, link, database].map((resource) => resource[Symbol.asyncDispose]()))
    },
  }
}
