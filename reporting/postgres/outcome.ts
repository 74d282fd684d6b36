import type { CountBatch } from '../count-store.ts'
import type { LastSerial } from '../deduplicator.ts'
import { createEngine, type Verdicts } from '../engine.ts'
import { addGaps } from '../lost.ts'
import type { Judge } from '../rules/judge.ts'
import { type RulesVersion, watchRuleOf } from '../rules/rule-sets.ts'
import type { OpenView } from '../watch/watch-time.ts'
import { createKeyedViews, type KeyedView } from './keyed-views.ts'
import { type KnownState, producersOf } from './known.ts'
import { createWatchState, type NumberedReport, type VerdictPlace } from './known-watch.ts'
import { createIdGenerations } from './unnumbered.ts'

/** What a batch changes. */
export type Outcome = {
  verdicts: Verdicts
  /** The state after the batch, before the database forgets any producers. */
  next: Omit<KnownState, 'batch'>
  /** The producers to write. */
  changed: [string, LastSerial][]
  /** The batch's producers that the database must forget. */
  forgotten: string[]
  /** The ids to write, with their generations. */
  ids: [string, number][]
  /** The keyed views to write. */
  keyed: KeyedView[]
  /** The reports to write because their views are not in the log yet, by key. */
  early: [string, NumberedReport][]
  /** Returns where the database stores the verdict for a view from an earlier batch. */
  placeOf: (view: OpenView) => VerdictPlace
}

type Limits = { rules: RulesVersion; maxIds: number; maxKeys: number }

/**
 * Computes the outcome of a batch without changing `known`. The judge is valid for the next batch only if this batch
 * is committed.
 */
export function toOutcome(
  batch: CountBatch,
  known: KnownState,
  judge: Judge,
  { rules, maxIds, maxKeys }: Limits,
): Outcome {
  const batchProducers = producersOf(batch)
  const producers = new Map<string, LastSerial>()
  for (const producer of batchProducers) {
    const last = known.serials.get(producer)
    if (last) producers.set(producer, { ...last })
  }
  const knownIds = createIdGenerations(known, maxIds)
  const keys = createKeyedViews(known, maxKeys)
  const deduplication = { isComplete: known.isComplete, producers, knownIds }
  const rule = watchRuleOf(rules)
  const watch = rule && createWatchState(rule, known.watch)
  const state = { deduplication, keys, judge, watch: watch?.state, clock: known.clock }
  const verdicts = createEngine(state)(batch)
  const changed = [...producers].filter(([, { sequence }]) => sequence === batch.through)
  const newProducers = changed.filter(([producer]) => known.serials.get(producer) === undefined).length
  const next: Omit<KnownState, 'batch'> = {
    position: { incarnation: batch.incarnation, sequence: batch.through },
    isComplete: deduplication.isComplete,
    producers: known.producers + newProducers,
    lost: addGaps(known.lost, verdicts.gaps),
    ...knownIds.count(),
    clock: state.clock,
    keyed: keys.last(),
    origin: toOrigin(known, batch, rules),
    serials: new Map(batchProducers.map((producer) => [producer, producers.get(producer)])),
    generations: new Map(),
    keys: new Map(),
    watch: { ...known.watch, ...watch?.last(), views: new Map(), reports: new Map() },
  }
  const forgotten = batchProducers.filter((producer) => known.serials.get(producer) && !producers.has(producer))
  return {
    verdicts,
    next,
    changed,
    forgotten,
    ids: knownIds.added(),
    keyed: keys.added(),
    early: watch?.added() ?? [],
    placeOf({ id }) {
      const place = known.watch.views.get(id)
      if (!place) throw new Error('a view whose watch time has grown must have been looked up')
      return place
    },
  }
}

function toOrigin({ position, origin }: KnownState, { incarnation }: CountBatch, rules: string): KnownState['origin'] {
  const isSame = incarnation === position?.incarnation && rules === origin.rules
  return isSame ? origin : { number: origin.number + 1, rules }
}
