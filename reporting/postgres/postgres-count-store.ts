import type { DependencyState } from '../../shared/contracts/readiness.ts'
import type { LookedUpCounts } from '../../shared/contracts/view-counts.ts'
import type { Logger } from '../../shared/runtime/log.ts'
import type { CountedBy, CountStore, ReportObserver } from '../count-store.ts'
import { createBatches, toReportAssignments } from './batches.ts'
import { createChangeFeed } from './change-feed.ts'
import { COUNT_COLUMNS } from './count-statement.ts'
import { ASYNCHRONOUS, openDatabase, type StatementError, type Usage } from './database.ts'
import { createDirectCounts, RECEIPT_SECONDS } from './direct-counts.ts'
import { openLink } from './link.ts'
import { toIdArray, toLiteral } from './literals.ts'
import { createReportWatch } from './report-watch.ts'
import { toLost } from './serials.ts'
import { STATE_COLUMNS, type State, toState } from './state.ts'
import { MAX_CANDIDATES, toCut, toTopQuery } from './top.ts'

/** play waits for a lookup for 500 ms. */
const READ_TIMEOUT_MS = 400
const WRITE_TIMEOUT_MS = 4_000
const PRUNE_INTERVAL_MS = 5_000
/** Bounds how long a statement holds the lock that every writer takes first. */
const MAX_PRUNED_IDS = 5_000

export type PostgresCountStore = CountStore &
  AsyncDisposable & {
    state(): DependencyState
    reason(): string | undefined
    usage(): Usage
  }

type Options = {
  /** A URL for each host of the database. */
  urls: readonly string[]
  maxConnections: number
  log: Logger
  onReport?: ReportObserver
  onFailure?: (error: StatementError) => void
  onRetry?: (code: string) => void
  /** Minimum interval between the results of small batches. */
  /** Limits of the deduplication state. */
  maxProducers?: number
  maxIds?: number
}

/** A count store in Postgres, for any number of instances. */
export function openPostgresCountStore({
  onReport = () => {},
  log,
  maxProducers,
  maxIds,
  ...options
}: Options): PostgresCountStore {
  const database = openDatabase(options)
  const reports = createReportWatch(onReport)
  const run = (statements: string, timeoutMs: number) => link.run(statements, timeoutMs)
  const read = (query: string) => run(query, READ_TIMEOUT_MS)
  const feed = createChangeFeed(run)
  const countDirectly = createDirectCounts(run)
  const batches = createBatches({
    run,
    probe: database.run,
    ...(maxProducers && { maxProducers }),
    ...(maxIds && { maxIds }),
  })

  function take(state: State): void {
    reports.take(state)
    feed.advance(state.version)
  }

  const link = openLink({
    database,
    log,
    onPoll: () => {
      const takeReport = reports.poll()
      return (state, changedAt) => {
        takeReport(state)
        feed.advance(state.version, changedAt)
      }
    },
  })

  /** In the background: until it succeeds, there are only more candidates than necessary. */
  function cutIfNeeded(row: readonly unknown[]): void {
    for (const [by, column] of [
      ['asset', COUNT_COLUMNS.assetCandidates],
      ['user', COUNT_COLUMNS.userCandidates],
    ] as const) {
      if (Number(row[column] ?? 0) > MAX_CANDIDATES)
        run(`${ASYNCHRONOUS} ${toCut(by)}`, WRITE_TIMEOUT_MS).catch(() => undefined)
    }
  }

  async function prune(): Promise<void> {
    for (let ids = MAX_PRUNED_IDS; ids === MAX_PRUNED_IDS; ) ids = Number((await run(PRUNE, WRITE_TIMEOUT_MS))[0]?.[0])
  }
  const pruning = setInterval(() => prune().catch(() => undefined), PRUNE_INTERVAL_MS)

  async function position() {
    const [row = []] = await read(`select ${STATE_COLUMNS} from reporting.state`)
    return toState(row).position
  }

  return {
    id: link.storeId,
    state: link.state,
    reason: link.reason,
    usage: database.usage,
    position,
    follow: feed.follow,
    async views(by, id) {
      const [[views] = []] = await read(`select views from reporting.${by}_views where id = ${toLiteral(id)}`)
      return views === undefined ? undefined : Number(views)
    },
    async lookUp({ assets, users }) {
      const found: LookedUpCounts = { assets: toZeros(assets), users: toZeros(users) }
      const rows = await read(`${toLookup('asset', assets)} union all ${toLookup('user', users)}`)
      for (const [isUser, id, views] of rows) found[isUser === true ? 'users' : 'assets'][String(id)] = Number(views)
      return found
    },
    async top(by, limit) {
      const rows = await read(toTopQuery(by, limit))
      return rows.map(([id, views]) => ({ id: String(id), views: Number(views) }))
    },
    async size(by) {
      const [[ids] = []] = await read(`select ids from reporting.size where by = '${by}'`)
      return Number(ids ?? 0)
    },
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
      return applied.deduplicated
    },
    async report(report) {
      const set = toReportAssignments(report).join(', ')
      const update = `${ASYNCHRONOUS} update reporting.state set ${set} returning ${STATE_COLUMNS}`
      const [row = []] = await run(update, WRITE_TIMEOUT_MS)
      const state = toState(row)
      take(state)
      return state.position
    },
    async lost() {
      const [[views, gaps] = []] = await read('select lost_views, gaps from reporting.state')
      return toLost(Number(views), String(gaps))
    },
    async [Symbol.asyncDispose]() {
      clearInterval(pruning)
      // Closing the connections ends a poll or migration that hangs.
      await Promise.all([link[Symbol.asyncDispose](), database[Symbol.asyncDispose]()])
    },
  }
}

function toLookup(by: CountedBy, ids: readonly string[]): string {
  return `select ${by === 'user'}, id, views from reporting.${by}_views where id = any(${toIdArray(ids)})`
}

function toZeros(ids: readonly string[]): Record<string, number> {
  return Object.fromEntries(ids.map((id) => [id, 0]))
}

/** Deletes what has expired, while it holds the lock that every writer takes first. */
const PRUNE = `${ASYNCHRONOUS} select from reporting.state for update;
  delete from reporting.change where at < now() - interval '10 seconds'
    and version < (select version from reporting.state);
  delete from reporting.receipt where id in (select id from reporting.receipt
    where at < now() - interval '${RECEIPT_SECONDS} seconds' for update skip locked);
  delete from reporting.recent_second where second < extract(epoch from now()) - 600;
  with pruned as (delete from reporting.known_id where key = any(array(
    select key from reporting.known_id where generation < (select generation - 1 from reporting.state)
    limit ${MAX_PRUNED_IDS})) returning 1)
  select count(*) from pruned`
