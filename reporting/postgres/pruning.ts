import { sleep } from '../../shared/runtime/sleep.ts'
import { MAX_EARLY_REPORTS } from '../watch/watch-time.ts'
import { ASYNCHRONOUS, type Run } from './database.ts'
import { RECEIPT_SECONDS } from './direct-counts.ts'
import type { createPartitions } from './partitions.ts'
import { toSeriesPruning } from './series.ts'

const INTERVAL_MS = 5_000
const TIMEOUT_MS = 4_000
/** Bounds how long a statement holds the lock that every writer takes first. */
const MAX_PRUNED = 5_000

type Deps = {
  run: Run
  partitions: Pick<ReturnType<typeof createPartitions>, 'maintain'>
  maxKeys: number
  intervalMs?: number
}

/** Periodically deletes expired rows, and creates the partitions for the next few days, until disposed. */
export function startPruning({ run, partitions, maxKeys, intervalMs = INTERVAL_MS }: Deps): AsyncDisposable {
  const prune = toPrune(maxKeys)
  const shutdown = new AbortController()
  const { signal } = shutdown

  async function pruneAll(): Promise<void> {
    for (let pruned = MAX_PRUNED; pruned === MAX_PRUNED && !signal.aborted; ) {
      pruned = Number((await run(prune, TIMEOUT_MS))[0]?.[0])
    }
  }

  /** Waits for the end of each round, because a backlog may take longer than an interval. */
  async function keepPruning(): Promise<void> {
    await sleep(intervalMs, signal)
    while (!signal.aborted) {
      await pruneAll().catch(() => undefined)
      await partitions.maintain().catch(() => undefined)
      await sleep(intervalMs, signal)
    }
  }

  const pruning = keepPruning()
  return {
    async [Symbol.asyncDispose]() {
      shutdown.abort()
      await pruning
    },
  }
}

/** Deletes rows while it holds the lock that every writer takes first. */
function toPrune(maxKeys: number): string {
  return `${ASYNCHRONOUS} select from reporting.state for update;
    delete from reporting.change where at < now() - interval '10 seconds'
      and version < (select version from reporting.state);
    delete from reporting.receipt where id in (select id from reporting.receipt
      where at < now() - interval '${RECEIPT_SECONDS} seconds' for update skip locked);
    delete from reporting.recent_second where second < extract(epoch from now()) - 600;
    with ids as (delete from reporting.known_id where key = any(array(
        select key from reporting.known_id where generation < (select generation - 1 from reporting.state)
        limit ${MAX_PRUNED})) returning 1),
      keys as (delete from reporting.keyed_view where key = any(array(
        select key from reporting.keyed_view where number <= (select keyed - ${maxKeys} from reporting.state)
        limit ${MAX_PRUNED})) returning 1),
      reports as (delete from reporting.early_report where key = any(array(
        select key from reporting.early_report
        where number <= (select early - ${MAX_EARLY_REPORTS} from reporting.state) limit ${MAX_PRUNED})) returning 1),
      ${toSeriesPruning(MAX_PRUNED)}
    select greatest((select count(*) from reports), (select count(*) from series_pruned), (select count(*) from ids), (select count(*) from keys))`
}
