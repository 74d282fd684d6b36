import { isSamePosition, type LogPosition } from '../../shared/contracts/position.ts'
import { MAX_TOP } from '../../shared/contracts/view-counts.ts'
import type { Secret } from '../../shared/runtime/secret.ts'
import type { CountedBy } from '../count-store.ts'
import type { CountState } from '../maps/count-state.ts'
import { type FrozenState, freezeState } from '../maps/frozen-state.ts'
import { type FrozenSeries, thawSteps } from '../maps/series-map.ts'
import { countViewers, hashesOf } from '../maps/viewer-set.ts'
import {
  insertCounts,
  insertIds,
  insertKeyedViews,
  insertProducers,
  insertRest,
  insertViewers,
} from './copy-statements.ts'
import { assertJudgedKept, copyVerdicts, keyedViewsOf } from './copy-verdicts.ts'
import { openDatabase, type Send, StatementError } from './database.ts'
import { toLiteral } from './literals.ts'
import { migrate } from './migrate.ts'
import { insertSeries, toSeriesRows } from './series.ts'
import { parsePosition } from './state.ts'
import { RANKINGS } from './top.ts'

const TIMEOUT_MS = 6 * 3_600_000
const CHUNK_ROWS = 20_000

/** The database already has counts, which a copy would replace. */
export class UsedDatabaseError extends Error {
  override name = 'UsedDatabaseError'
}

type Options = {
  /** A URL for each database host. */
  urls: readonly Secret[]
  /** Receives the number of rows copied so far, and the total. */
  onProgress: (copied: number, total: number) => void
}

/**
 * Copies counts into a database without counts, in one transaction. The counts must not change during the copy. The
 * database keeps its own store id, because the two stores count independently from then on.
 * @returns false if the database already has these counts
 * @throws UsedDatabaseError, MissingVerdictsError or StatementError, in which case nothing is copied
 */
export async function copyCounts(state: CountState, { urls, onProgress }: Options): Promise<boolean> {
  await using frozen = freezeState(state)
  assertJudgedKept(frozen)
  await using database = openDatabase({ urls, maxConnections: 1 })
  for (let attempt = 1; ; attempt += 1) {
    try {
      await migrate(database)
      const existing = await database.transaction((send) => copyIfEmpty(send, state, frozen, onProgress), TIMEOUT_MS)
      if (!existing) return true
      if (isSame(existing, frozen)) return false
      throw new UsedDatabaseError(describe(existing))
    } catch (error) {
      // `database` now uses the next host, so another attempt may succeed.
      if (!(error instanceof StatementError) || attempt >= urls.length) throw error
    }
  }
}

/** @returns the counts that the database already has, if it has any */
async function copyIfEmpty(
  send: Send,
  { counts }: CountState,
  frozen: FrozenState,
  onProgress: Options['onProgress'],
): Promise<Existing | undefined> {
  const existing = await readExisting(send)
  if (existing) return existing
  const { producers, knownIds } = frozen
  const total =
    producers.length + knownIds.previous.size + knownIds.current.size + counts.asset.size() + counts.user.size()
  let copied = 0

  async function insertAll<Row>(rows: Iterable<Row>, toStatement: (rows: Row[]) => string): Promise<void> {
    for (const chunk of toChunks(rows)) {
      await send(toStatement(chunk))
      copied += chunk.length
      onProgress(copied, total)
    }
  }

  await copySeries(send, frozen.series)
  await insertAll(producers, insertProducers)
  for (const [generation, { keys, size }] of [knownIds.previous, knownIds.current].entries()) {
    await insertAll(keys.values().take(size), (chunk) => insertIds(chunk, generation))
  }
  const tops = RANKINGS.map(({ by, of }) => ({ by, of, top: counts[by].top(MAX_TOP, of) }))
  for (const by of ['asset', 'user'] as const) {
    // Building an index afterwards is faster than inserting rows into it in random order.
    await send(`alter table reporting.${by}_views drop constraint ${by}_views_pkey`)
    await insertAll(countsOf(frozen, by), (chunk) => insertCounts(by, chunk))
    await send(`alter table reporting.${by}_views add primary key (id); analyze reporting.${by}_views`)
  }
  await insertAll(viewersOf(frozen), insertViewers)
  let keyed = 0
  await insertAll(keyedViewsOf(frozen), (chunk) => {
    keyed = chunk.at(-1)?.number ?? keyed
    return insertKeyedViews(chunk)
  })
  const origin = await copyVerdicts(send, frozen)
  await send(insertRest(frozen, { tops, keyed, origin }))
  return undefined
}

/** Copies the series, and the start times of the per-asset counts. */
async function copySeries(send: Send, series: FrozenSeries): Promise<void> {
  for (const rows of toChunks(toSeriesRows(thawSteps(series)))) await send(insertSeries(rows))
  const { hour, day } = series.since
  await send(
    `update reporting.state set series_hour_since = ${toLiteral(hour)}, series_day_since = ${toLiteral(day)};
      analyze reporting.series`,
  )
}

type Existing = { position: LogPosition | undefined; views: number; assets: number; users: number }

/** Reads the existing counts, and locks the state until the transaction ends, so that nothing is counted meanwhile. */
async function readExisting(send: Send): Promise<Existing | undefined> {
  const size = (by: CountedBy) => `coalesce((select ids from reporting.size where by = '${by}'), 0)`
  // A copy that was reported as complete must survive a crash.
  const [[incarnation, sequence, views, assets, users] = []] = await send(`set local synchronous_commit = on;
    select incarnation, sequence, views, ${size('asset')}, ${size('user')} from reporting.state for update`)
  const position = incarnation === null ? undefined : parsePosition(String(incarnation), Number(sequence))
  const existing = { position, views: Number(views), assets: Number(assets), users: Number(users) }
  return position || existing.views > 0 ? existing : undefined
}

function isSame({ position, views, assets, users }: Existing, { counts, ...frozen }: FrozenState): boolean {
  const isSameState = isSamePosition(position, frozen.position) && views === frozen.views
  return isSameState && assets === counts.asset.size && users === counts.user.size
}

function describe({ position, views }: Existing): string {
  const where = position ? `up to ${position.sequence} in ${position.incarnation}` : 'none of them from a log'
  return `the database already has counts (total views: ${views.toLocaleString('en')}; ${where})`
}

type Count = { id: string; views: number; qualified: number }

function* countsOf({ counts }: FrozenState, by: CountedBy): Generator<Count> {
  const { size, ids, ...counters } = counts[by]
  for (let number = 0; number < size; number += 1) {
    const views = counters.views.get(number)
    yield { id: ids.idOf(number), views, qualified: views - counters.notQualified.get(number) }
  }
}

function* viewersOf({ viewers }: FrozenState) {
  for (const shard of viewers.shards()) {
    for (const [assetId, set] of shard) {
      const hashes = 'registers' in set ? [] : [...hashesOf(set)]
      yield { assetId, viewers: countViewers(set), hashes }
    }
  }
}

function* toChunks<Row>(rows: Iterable<Row>): Generator<Row[]> {
  let chunk: Row[] = []
  for (const row of rows) {
    chunk.push(row)
    if (chunk.length < CHUNK_ROWS) continue
    yield chunk
    chunk = []
  }
  if (chunk.length > 0) yield chunk
}
