import { MAX_TOP, type ViewCount } from '../../shared/contracts/view-counts.ts'
import type { CountedBy } from '../count-store.ts'
import type { FrozenState } from '../maps/frozen-state.ts'
import { toLostAssignments } from './batches.ts'
import { toProducerKey } from './known.ts'
import { toAscii, toIdArray, toLiteral, toNumberArray, toTextArray } from './literals.ts'

const KINDS = ['asset', 'user'] as const

export function insertCounts(by: CountedBy, rows: readonly (readonly [id: string, views: number])[]): string {
  const ids = toIdArray(rows.map(([id]) => id))
  const views = toNumberArray(rows.map(([, views]) => views))
  return `insert into reporting.${by}_views (id, views) select * from unnest(${ids}, ${views})`
}

export function insertProducers(rows: FrozenState['producers']): string {
  const names = rows.map(([name]) => name)
  const numbers = ([1, 2, 3] as const).map((column) => toNumberArray(rows.map((row) => row[column])))
  const columns = [toIdArray(names.map(toProducerKey)), toTextArray(names.map(toAscii)), ...numbers]
  return `insert into reporting.producer (key, name, serial, sequence, reported)
    select * from unnest(${columns.join(', ')})`
}

/** @param keys the digests of known ids, each character of which is one byte */
export function insertIds(keys: readonly string[], generation: number): string {
  const encoded = keys.map((key) => Buffer.from(key, 'latin1').toString('base64url'))
  return `insert into reporting.known_id (key, generation)
    select key, ${generation} from unnest(${toIdArray(encoded)}) as key`
}

/** Stores the state, and what is derived from the counts. The current generation of known ids is 1. */
export function insertRest(frozen: FrozenState, top: Record<CountedBy, readonly ViewCount[]>): string {
  const { position, views, isComplete, producers, knownIds, counts, seconds } = frozen
  const set = [
    'version = version + 1',
    `incarnation = ${toLiteral(position && toAscii(position.incarnation))}`,
    `sequence = ${toLiteral(position?.sequence)}`,
    `views = ${views}`,
    `is_complete = ${isComplete}`,
    `producers = ${producers.length}`,
    'generation = 1',
    `known_ids = ${knownIds.current.size}`,
    ...toLostAssignments(frozen),
    ...KINDS.flatMap((by) => toCutAssignments(by, top[by])),
  ]
  const toTop = (by: CountedBy) => `insert into reporting.top_candidate (by, id)
      select '${by}', id from unnest(${toIdArray(top[by].map(({ id }) => id))}) as id;
    insert into reporting.size (by, ids, candidates) values ('${by}', ${counts[by].size}, ${top[by].length})`
  const columns = [0, 1].map((column) => toNumberArray(seconds.map((entry) => entry[column] ?? 0)))
  return [
    `update reporting.state set ${set.join(', ')}`,
    ...KINDS.map(toTop),
    `insert into reporting.recent_second (second, views) select * from unnest(${columns.join(', ')})`,
  ].join('; ')
}

/** As long as every id is a candidate for the top list, there is no cut. */
function toCutAssignments(by: CountedBy, top: readonly ViewCount[]): string[] {
  const last = top.length === MAX_TOP ? top.at(-1) : undefined
  return [`${by}_cut_views = ${toLiteral(last?.views)}`, `${by}_cut_id = ${toLiteral(last?.id)}`]
}
