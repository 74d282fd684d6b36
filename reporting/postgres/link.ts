import type { DependencyState } from '../../shared/contracts/readiness.ts'
import type { Logger } from '../../shared/runtime/log.ts'
import { toReason } from '../../shared/runtime/reason.ts'
import { sleep } from '../../shared/runtime/sleep.ts'
import { UnavailableError } from '../../shared/runtime/unavailable-error.ts'
import { CHANGED_AT } from './change-feed.ts'
import type { Database, Run } from './database.ts'
import { createFence, toFenceColumns } from './fence.ts'
import { IS_CURRENT, migrate } from './migrate.ts'
import { assertRules } from './other-rules.ts'
import { AFTER_STATE, STATE_COLUMNS, type State, toState } from './state.ts'

const POLL_INTERVAL_MS = 250
const POLL_TIMEOUT_MS = 1_000
/** How often the other hosts are checked, so that a former primary is abandoned soon after a promotion. */
const LOOK_INTERVAL_MS = 1_000
/** Failures are not logged for this long after startup, because Postgres may still be starting. */
const COLD_START_MS = 5_000

/** Postgres as a dependency: migrated in the background, and polled for changes that other instances made. */
type Link = AsyncDisposable & {
  state(): DependencyState
  /** Why Postgres is down. */
  reason(): string | undefined
  /** The store's id; undefined until Postgres has been up once. */
  storeId(): string | undefined
  /**
   * Runs statements in one transaction. Fails immediately while Postgres is down.
   * @throws UnavailableError
   */
  run: Run
}

type Deps = {
  database: Database
  /** The version of the view rules. */
  rules: string
  log: Logger
  /**
   * Called before each poll. Returns a function that receives the polled state, and the time at which its version was
   * recorded.
   */
  onPoll: () => (state: State, changedAt: string) => void
}

export function openLink({ database, rules, log, onPoll }: Deps): Link {
  const shutdown = new AbortController()
  const openedAt = performance.now()
  const fence = createFence(database)
  const query = `select ${STATE_COLUMNS}, store_id, ${CHANGED_AT}, ${IS_CURRENT}, ${toFenceColumns(database.hosts)} from reporting.state`
  let state: DependencyState = 'unknown'
  let reason: string | undefined = 'not connected yet'
  let isLoggedDown = false
  let storeId: string | undefined
  /** The host that accepted writes in the last poll. */
  let primary: number | undefined

  async function poll(): Promise<void> {
    const take = onPoll()
    if (state !== 'up') {
      await fence.look()
      // The schema may have changed while Postgres was down, for example because a backup was restored.
      await migrate(database)
      await assertRules(database, rules)
    }
    const host = database.current()
    const [row = []] = await database.run(query, POLL_TIMEOUT_MS, fence.assertPrimary)
    // The next poll upgrades the schema, or reports why it cannot.
    if (row[AFTER_STATE + 2] !== true) throw new Error('another release has changed the schema')
    primary = host
    setUp()
    storeId = String(row[AFTER_STATE])
    take(toState(row), String(row[AFTER_STATE + 1]))
  }

  function setUp(): void {
    if (isLoggedDown) log.info('Postgres is up')
    isLoggedDown = false
    state = 'up'
    reason = undefined
  }

  function setDown(error: unknown): void {
    reason = toReason(error)
    state = 'down'
    if (isLoggedDown || shutdown.signal.aborted || performance.now() - openedAt < COLD_START_MS) return
    isLoggedDown = true
    log.warn({ reason }, 'Postgres is down; retrying')
  }

  async function keepPolling(): Promise<void> {
    while (!shutdown.signal.aborted) {
      await poll().catch(setDown)
      await sleep(POLL_INTERVAL_MS, shutdown.signal)
    }
  }

  async function keepLooking(): Promise<void> {
    while (!shutdown.signal.aborted) {
      await sleep(LOOK_INTERVAL_MS, shutdown.signal)
      await fence.look()
    }
  }

  const polling = Promise.all([keepPolling(), keepLooking()])

  return {
    state: () => state,
    reason: () => reason,
    storeId: () => storeId,
    async run(statements, timeoutMs) {
      if (state !== 'up') throw new UnavailableError(`Postgres is down: ${reason}`)
      // Do not use another host: it may be a standby, whose counts are behind, or a former primary.
      if (database.current() !== primary) throw new UnavailableError('Postgres is down: looking for the primary')
      return database.run(statements, timeoutMs)
    },
    async [Symbol.asyncDispose]() {
      shutdown.abort()
      await polling
    },
  }
}
