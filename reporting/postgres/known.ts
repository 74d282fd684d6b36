import { z } from 'zod'
import type { LostViews } from '../../shared/contracts/lost-views.ts'
import type { LogPosition } from '../../shared/contracts/position.ts'
import type { CountBatch } from '../count-store.ts'
import type { LastSerial } from '../deduplicator.ts'
import { toDigest } from '../digest.ts'
import { type KeyedView, keyedOf, toKeyedKey } from './keyed-views.ts'
import { type KnownWatch, knowsWatch, toKnownReports, toKnownViews, toWatchQuery, WatchRows } from './known-watch.ts'
import { fromAscii, toIdArray } from './literals.ts'
import { parsePosition } from './state.ts'
import { unnumberedOf } from './unnumbered.ts'

/** The part of the stored state that a batch needs. It depends only on the last applied batch. */
export type KnownState = {
  /** The id of the batch that set the position. */
  batch: string | undefined
  position: LogPosition | undefined
  isComplete: boolean
  /** The number of producers in the database. */
  producers: number
  lost: LostViews
  /** The current generation of ids, and the number of ids in it. */
  generation: number
  knownIds: number
  /** The latest time at which the log stored a message, in milliseconds since 1970. */
  clock: number
  /** The number of keyed views so far. */
  keyed: number
  /** The log incarnation and the rules version to which the last verdicts belong. */
  origin: { number: number; rules: string | undefined }
  /** The looked-up producers; undefined for a producer that is not in the database. */
  serials: ReadonlyMap<string, LastSerial | undefined>
  /** The generations of the looked-up ids that are in the database. */
  generations: ReadonlyMap<string, number>
  /** The views with an idempotency key that the lookup found in the database. */
  keys: ReadonlyMap<string, KeyedView>
  watch: KnownWatch
}

const bigint = z.coerce.number()
const State = z.object({
  batch: z.string().nullable(),
  incarnation: z.string().nullable(),
  sequence: bigint.nullable(),
  is_complete: z.boolean(),
  producers: bigint,
  lost_views: bigint,
  gaps: z.string(),
  generation: bigint,
  known_ids: bigint,
  clock: bigint,
  keyed: bigint,
  origin: bigint,
  early: bigint,
  early_clock: bigint,
})
const Rows = z.object({
  state: State,
  rules: z.string().nullable(),
  producers: z.array(z.tuple([z.string(), bigint, bigint, bigint])),
  ids: z.array(z.tuple([z.string(), bigint])),
  keys: z.array(z.tuple([z.string(), bigint, bigint, z.string(), z.string()])),
  watched: WatchRows.views.default([]),
  reports: WatchRows.reports.default([]),
})
const Gaps = z.array(z.object({ producer: z.string(), from: z.number(), to: z.number() }))

/** Selects the data that a batch needs, including watch times if the rules require them. */
export function toKnownQuery(batch: CountBatch, hasWatch: boolean): string {
  const producers = toIdArray(producersOf(batch).map(toProducerKey))
  const ids = toIdArray(unnumberedOf(batch))
  const keys = toIdArray(keyedOf(batch).map(toKeyedKey))
  return `select json_build_object(
    'state', json_build_object(${Object.keys(State.shape).map((name) => `'${name}', ${name}`)}),
    'rules', (select rules from reporting.verdict_origin as judged where judged.origin = state.origin),
    'producers', (select coalesce(json_agg(json_build_array(name, serial, sequence, reported)), '[]')
      from reporting.producer where key = any(${producers})),
    'ids', (select coalesce(json_agg(json_build_array(key, generation)), '[]')
      from reporting.known_id where key = any(${ids})),
    'keys', (select coalesce(json_agg(json_build_array(key, number, at, asset_id, user_id)), '[]')
      from reporting.keyed_view where key = any(${keys}))
    ${hasWatch ? `, ${toWatchQuery(batch)}` : ''}) from reporting.state as state`
}

export function toKnownState(batch: CountBatch, value: unknown): KnownState {
  const { state, rules, producers, ids, keys, watched, reports } = Rows.parse(value)
  const serials = new Map<string, LastSerial | undefined>()
  for (const producer of producersOf(batch)) serials.set(producer, undefined)
  for (const [name, serial, sequence, reported] of producers)
    serials.set(fromAscii(name), { serial, sequence, reported })
  const views = new Map(keys.map(([key, number, at, assetId, userId]) => [key, { number, at, assetId, userId }]))
  return {
    batch: state.batch ?? undefined,
    position: parsePosition(state.incarnation, state.sequence),
    isComplete: state.is_complete,
    producers: state.producers,
    lost: toLost(state.lost_views, state.gaps),
    generation: state.generation,
    knownIds: state.known_ids,
    clock: state.clock,
    keyed: state.keyed,
    origin: { number: state.origin, rules: rules ?? undefined },
    serials,
    generations: new Map(ids),
    keys: new Map(
      keyedOf(batch).flatMap((id) => {
        const view = views.get(toKeyedKey(id))
        return view ? [[id, { id, ...view }] as const] : []
      }),
    ),
    watch: {
      early: state.early,
      earlyClock: state.early_clock,
      views: toKnownViews(watched),
      reports: toKnownReports(reports),
    },
  }
}

export function toLost(views: number, gaps: string): LostViews {
  return { views, gaps: Gaps.parse(JSON.parse(gaps)) }
}

/** Returns true if the cached data suffices for the batch. Views that are deduplicated by id need a lookup. */
export function knows({ serials, watch, clock }: KnownState, batch: CountBatch, hasWatch: boolean): boolean {
  const hasIds = unnumberedOf(batch).length > 0 || keyedOf(batch).length > 0
  if (hasWatch && !knowsWatch(watch, clock, batch)) return false
  return !hasIds && producersOf(batch).every((producer) => serials.has(producer))
}

/** The producers whose last serials a batch may need. */
export function producersOf({ views, watched = [], rejected = [] }: CountBatch): string[] {
  const names = new Set<string>()
  for (const { producer, serial, predecessor } of [...views, ...watched]) {
    if (producer !== undefined && serial !== undefined) names.add(producer)
    if (predecessor) names.add(predecessor.producer)
  }
  for (const { producer } of rejected) names.add(producer)
  return [...names]
}

export function toProducerKey(producer: string): string {
  return toDigest(producer).toString('base64url')
}
