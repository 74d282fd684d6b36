import type { FrozenPage } from '../../shared/records/record-page.ts'
import type { LastSerial } from '../deduplicator.ts'
import type { Judge } from '../rules/judge.ts'
import type { ProducerEntry } from './checkpoint-format.ts'
import type { FrozenCountMap } from './count-map.ts'
import type { CountState } from './count-state.ts'
import type { RecentIds } from './known-ids.ts'
import type { FrozenSeries } from './series-map.ts'
import type { FrozenMap } from './sharded-map.ts'
import type { ViewerSet } from './viewer-set.ts'
import type { WaitingEntry } from './waiting-views.ts'

/** A snapshot of the state, taken while counting continues. */
export type FrozenState = AsyncDisposable &
  Pick<CountState, 'id' | 'rules' | 'position' | 'lost' | 'views' | 'totals' | 'clock'> & {
    isComplete: boolean
    seconds: [second: number, views: number][]
    producers: ProducerEntry[]
    knownIds: ReturnType<RecentIds['freeze']>
    viewersSeed: number
    counts: { asset: FrozenCountMap; user: FrozenCountMap }
    viewers: FrozenMap<ViewerSet>
    /** The events that the rules still remember. */
    judged: ReturnType<Judge['known']>
    verdicts: FrozenPage[]
    keys: FrozenPage[]
    series: FrozenSeries
    /** Undefined if the rules do not require watch time. */
    watch: FrozenWatch | undefined
  }

/** The watch-time state, without the verdicts' marks. */
export type FrozenWatch = { waiting: WaitingEntry[]; early: FrozenPage[]; series: FrozenSeries }

/**
 * Freezes the state in a few milliseconds, regardless of the number of ids, because it copies only the producers
 * and small values. Only one frozen state can exist at a time.
 */
export function freezeState(state: CountState): FrozenState {
  const { id, rules, position, views, clock, deduplication } = state
  const { asset, user } = state.counts
  const counts = { asset: asset.freeze(), user: user.freeze() }
  const viewers = state.viewers.freeze()
  return {
    id,
    rules,
    position,
    views,
    clock,
    totals: structuredClone(state.totals),
    lost: structuredClone(state.lost),
    isComplete: deduplication.isComplete,
    seconds: [...state.seconds.counts()],
    producers: Array.from(deduplication.producers, toEntry),
    knownIds: deduplication.knownIds.freeze(),
    viewersSeed: state.viewers.seed,
    counts,
    viewers,
    judged: state.judge.known(),
    verdicts: state.verdicts.freeze(),
    keys: state.keys.freeze(),
    series: state.series.freeze(),
    watch: state.watch && {
      waiting: state.watch.waiting.entries(),
      early: state.watch.records.freeze(),
      series: state.watch.series.freeze(),
    },
    [Symbol.asyncDispose]: () => viewers[Symbol.asyncDispose](),
  }
}

function toEntry([producer, { serial, sequence, reported }]: [string, LastSerial]): ProducerEntry {
  return [producer, serial, sequence, reported]
}
