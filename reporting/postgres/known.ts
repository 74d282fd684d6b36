import { z } from 'zod'
import type { LostViews } from '../../shared/contracts/lost-views.ts'
import type { LogPosition } from '../../shared/contracts/position.ts'
import type { CountBatch } from '../count-store.ts'
import { createDeduplicator, type Deduplicated, type LastSerial } from '../deduplicator.ts'
import { toDigest, toEventDigest } from '../digest.ts'
import { addGaps } from '../lost.ts'
import { fromAscii, toIdArray } from './literals.ts'
import { parsePosition } from './state.ts'

/** What deduplication needs to know, as far as a batch concerns it. It is a function of the position. */
export type Known = {
  position: LogPosition | undefined
  isComplete: boolean
  /** The number of producers in the database. */
  producers: number
  lost: LostViews
  /** The generation of new ids, and how many ids it has. */
  generation: number
  knownIds: number
  /** The looked-up producers; undefined for those that the database does not have. */
  serials: ReadonlyMap<string, LastSerial | undefined>
  /** The generations of the looked-up ids that the database has. */
  generations: ReadonlyMap<string, number>
}

const bigint = z.coerce.number()
const Rows = z.tuple([
  z.tuple([z.string().nullable(), bigint.nullable(), z.boolean(), bigint, bigint, z.string(), bigint, bigint]),
  z.array(z.tuple([z.string(), bigint, bigint, bigint])),
  z.array(z.tuple([z.string(), bigint])),
])
const Gaps = z.array(z.object({ producer: z.string(), from: z.number(), to: z.number() }))

/** Reads what deduplication needs to know for a batch. */
export function toKnownQuery(batch: CountBatch): string {
  const keys = toIdArray(producersOf(batch).map(toProducerKey))
  const ids = toIdArray(unnumberedOf(batch))
  return `select json_build_array(
    json_build_array(incarnation, sequence, is_complete, producers, lost_views, gaps, generation, known_ids),
    (select coalesce(json_agg(json_build_array(name, serial, sequence, reported)), '[]')
      from reporting.producer where key = any(${keys})),
    (select coalesce(json_agg(json_build_array(key, generation)), '[]')
      from reporting.known_id where key = any(${ids}))) from reporting.state`
}

export function toKnown(batch: CountBatch, value: unknown): Known {
  const [state, producers, ids] = Rows.parse(value)
  const [incarnation, sequence, isComplete, count, lostViews, gaps, generation, knownIds] = state
  const serials = new Map<string, LastSerial | undefined>()
  for (const producer of producersOf(batch)) serials.set(producer, undefined)
  for (const [name, serial, sequence, reported] of producers)
    serials.set(fromAscii(name), { serial, sequence, reported })
  const lost = toLost(lostViews, gaps)
  const position = parsePosition(incarnation, sequence)
  return { position, isComplete, producers: count, lost, generation, knownIds, serials, generations: new Map(ids) }
}

export function toLost(views: number, gaps: string): LostViews {
  return { views, gaps: Gaps.parse(JSON.parse(gaps)) }
}

/** Returns true if `known` suffices for the batch. Views without serials need a look into the database. */
export function knows({ serials }: Known, batch: CountBatch): boolean {
  return unnumberedOf(batch).length === 0 && producersOf(batch).every((producer) => serials.has(producer))
}

export type Outcome = {
  deduplicated: Deduplicated
  /** What is known after the batch, before the database forgets any producers. */
  next: Known
  /** The producers to write. */
  changed: [string, LastSerial][]
  /** The producers of the batch to forget. */
  forgotten: string[]
  /** The ids to write, with their generations. */
  ids: [string, number][]
}

/** Deduplicates a batch without changing `known`. */
export function deduplicate(batch: CountBatch, known: Known, maxIds: number): Outcome {
  const own = producersOf(batch)
  const producers = new Map<string, LastSerial>()
  for (const producer of own) {
    const last = known.serials.get(producer)
    if (last) producers.set(producer, { ...last })
  }
  const knownIds = createIdGenerations(known, maxIds)
  const state = { isComplete: known.isComplete, producers, knownIds }
  const deduplicated = createDeduplicator(state)(batch)
  const changed = [...producers].filter(([, { sequence }]) => sequence === batch.through)
  const added = changed.filter(([producer]) => known.serials.get(producer) === undefined).length
  const forgotten = own.filter((producer) => known.serials.get(producer) && !producers.has(producer))
  const next: Known = {
    position: { incarnation: batch.incarnation, sequence: batch.through },
    isComplete: state.isComplete,
    producers: known.producers + added,
    lost: addGaps(known.lost, deduplicated.gaps),
    ...knownIds.count(),
    serials: new Map(own.map((producer) => [producer, producers.get(producer)])),
    generations: new Map(),
  }
  return { deduplicated, next, changed, forgotten, ids: knownIds.added() }
}

/** The last ids of views without serials: those of this generation and of the previous one. */
function createIdGenerations({ generations, ...known }: Known, maxIds: number) {
  let { generation, knownIds } = known
  const added = new Map<string, number>()
  return {
    add(source: string, id: string): boolean {
      const key = toIdKey(source, id)
      const found = added.get(key) ?? generations.get(key)
      if (found !== undefined && found >= generation - 1) return false
      if (knownIds === maxIds) {
        generation += 1
        knownIds = 0
      }
      added.set(key, generation)
      knownIds += 1
      return true
    },
    count: () => ({ generation, knownIds }),
    added: () => [...added],
  }
}

/** The producers whose last serials a batch may need. */
export function producersOf({ views, rejected = [] }: CountBatch): string[] {
  const names = new Set<string>()
  for (const { producer, serial, predecessor } of views) {
    if (producer !== undefined && serial !== undefined) names.add(producer)
    if (predecessor) names.add(predecessor.producer)
  }
  for (const { producer } of rejected) names.add(producer)
  return [...names]
}

/** The keys of the views that are unique by source and id. */
function unnumberedOf({ views }: CountBatch): string[] {
  const unnumbered = views.filter(({ producer, serial }) => producer !== undefined && serial === undefined)
  return unnumbered.map(({ producer = '', id }) => toIdKey(producer, id))
}

export function toProducerKey(producer: string): string {
  return toDigest(producer).toString('base64url')
}

function toIdKey(source: string, id: string): string {
  return toEventDigest(source, id).toString('base64url')
}
