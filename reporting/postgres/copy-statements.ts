import { MAX_TOP, type ViewCount } from '../../shared/contracts/view-counts.ts'
import type { CountedBy } from '../count-store.ts'
import type { FrozenState } from '../maps/frozen-state.ts'
import { qualifiedOf } from '../maps/totals.ts'
import { toLostAssignments } from './batch-statement.ts'
import { type KeyedView, toKeyedWrites } from './keyed-views.ts'
import { toProducerKey } from './known.ts'
import { toAscii, toIdArray, toLiteral, toNumberArray, toTextArray } from './literals.ts'
import { candidatesColumn, cutColumns, type Ranking } from './top.ts'

/** An asset's or user's counts. */
type CountRow = { id: string; views: number; qualified: number }

/** An asset's distinct users. If `hashes` is empty, `viewers` is an estimate. */
type ViewersRow = { assetId: string; viewers: number; hashes: readonly number[] }

export function insertCounts(by: CountedBy, rows: readonly CountRow[]): string {
  const ids = toIdArray(rows.map(({ id }) => id))
  const columns = (['views', 'qualified'] as const).map((name) => toNumberArray(rows.map((row) => row[name])))
  return `insert into reporting.${by}_views (id, views, qualified) select * from unnest(${ids}, ${columns.join(', ')})`
}

/** An estimate has no hashes to copy. It does not rise until Postgres has counted more viewers than the estimate. */
export function insertViewers(rows: readonly ViewersRow[]): string {
  const columns = [
    toIdArray(rows.map(({ assetId }) => assetId)),
    toNumberArray(rows.map(({ viewers }) => viewers)),
    toNumberArray(rows.map(({ hashes }) => hashes.length)),
  ]
  const pairs = rows.flatMap(({ assetId, hashes }) => hashes.map((hash) => ({ assetId, hash })))
  return `insert into reporting.viewer (asset_id, hash)
      select * from unnest(${toIdArray(pairs.map(({ assetId }) => assetId))}, ${toNumberArray(pairs.map(({ hash }) => hash))});
    update reporting.asset_views set viewers = copied.viewers, known_viewers = copied.known
      from unnest(${columns.join(', ')}) as copied(id, viewers, known) where asset_views.id = copied.id`
}

export function insertKeyedViews(views: readonly KeyedView[]): string {
  const last = [...new Map(views.map((view) => [view.id, view])).values()]
  return `with moved as (select 1), ${toKeyedWrites(last).join(', ')} select`
}

export function insertProducers(rows: FrozenState['producers']): string {
  const names = rows.map(([name]) => name)
  const numbers = ([1, 2, 3] as const).map((column) => toNumberArray(rows.map((row) => row[column])))
  const columns = [toIdArray(names.map(toProducerKey)), toTextArray(names.map(toAscii)), ...numbers]
  return `insert into reporting.producer (key, name, serial, sequence, reported)
    select * from unnest(${columns.join(', ')})`
}

/** @param keys the digests of known ids as binary strings: each character is one byte */
export function insertIds(keys: readonly string[], generation: number): string {
  const encoded = keys.map((key) => Buffer.from(key, 'latin1').toString('base64url'))
  return `insert into reporting.known_id (key, generation)
    select key, ${generation} from unnest(${toIdArray(encoded)}) as key`
}

/** The first entries of each top list, in the order of RANKINGS. */
type Tops = (Ranking & { top: readonly ViewCount[] })[]

/** Stores the state, and the rows that are derived from the counts. The current generation of known ids is 1. */
export function insertRest(
  frozen: FrozenState,
  { tops, keyed, origin }: { tops: Tops; keyed: number; origin: number },
): string {
  const { position, views, totals, isComplete, producers, knownIds, seconds } = frozen
  const set = [
    'version = version + 1',
    `incarnation = ${toLiteral(position && toAscii(position.incarnation))}`,
    `sequence = ${toLiteral(position?.sequence)}`,
    `views = ${views}`,
    `qualified = ${qualifiedOf(frozen)}`,
    ...(['direct', 'retried', 'rejected'] as const).map((name) => `${name} = ${totals[name]}`),
    `clock = ${frozen.clock}`,
    `keyed = ${keyed}`,
    `origin = ${origin}`,
    `is_complete = ${isComplete}`,
    `producers = ${producers.length}`,
    'generation = 1',
    `known_ids = ${knownIds.current.size}`,
    ...toLostAssignments(frozen),
    ...tops.flatMap(toCutAssignments),
  ]
  const columns = [0, 1].map((column) => toNumberArray(seconds.map((entry) => entry[column] ?? 0)))
  const reasons = Object.entries(totals.notQualified)
  return [
    `update reporting.state set ${set.join(', ')}`,
    ...(['asset', 'user'] as const).map((by) => insertSize(by, frozen.counts[by].size, tops)),
    ...tops.map(insertCandidates),
    `insert into reporting.not_qualified (reason, views)
      select * from unnest(${toIdArray(reasons.map(([reason]) => reason))}, ${toNumberArray(reasons.map(([, views]) => views))})`,
    `insert into reporting.recent_second (second, views) select * from unnest(${columns.join(', ')})`,
  ].join('; ')
}

function insertCandidates({ by, of, top }: Tops[number]): string {
  return `insert into reporting.top_candidate (by, of, id)
    select '${by}', '${of}', id from unnest(${toIdArray(top.map(({ id }) => id))}) as id`
}

function insertSize(by: CountedBy, ids: number, tops: Tops): string {
  const own = tops.filter((ranking) => ranking.by === by)
  return `insert into reporting.size (by, ids, ${own.map(({ of }) => candidatesColumn(of)).join(', ')})
    values ('${by}', ${ids}, ${own.map(({ top }) => top.length).join(', ')})`
}

/** The cut is null as long as every id is a candidate for the top list. */
function toCutAssignments({ top, ...ranking }: Tops[number]): string[] {
  const last = top.length === MAX_TOP ? top.at(-1) : undefined
  const cut = cutColumns(ranking)
  return [`${cut.number} = ${toLiteral(last?.views)}`, `${cut.id} = ${toLiteral(last?.id)}`]
}
