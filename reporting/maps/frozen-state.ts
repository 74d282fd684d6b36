import type { LastSerial } from '../deduplicator.ts'
import type { ProducerEntry } from './checkpoint-format.ts'
import type { FrozenCounts } from './count-map.ts'
import type { CountState } from './count-state.ts'
import type { RecentIds } from './known-ids.ts'

/** The state at the time at which it was frozen. Counting goes on meanwhile. */
export type FrozenState = AsyncDisposable &
  Pick<CountState, 'id' | 'position' | 'lost' | 'views'> & {
    isComplete: boolean
    seconds: [second: number, views: number][]
    producers: ProducerEntry[]
    knownIds: ReturnType<RecentIds['freeze']>
    seeds: { asset: number; user: number }
    counts: { asset: FrozenCounts; user: FrozenCounts }
  }

/**
 * Freezes the state in a few milliseconds, however many ids have counts: only the producers and what is small are
 * copied. There can be only one frozen state at a time.
 */
export function freezeState({ id, position, counts, deduplication, lost, views, seconds }: CountState): FrozenState {
  const { asset, user } = counts
  const frozen = { asset: asset.freeze(), user: user.freeze() }
  return {
    id,
    position,
    views,
    lost: structuredClone(lost),
    isComplete: deduplication.isComplete,
    seconds: [...seconds.counts()],
    producers: Array.from(deduplication.producers, toEntry),
    knownIds: deduplication.knownIds.freeze(),
    seeds: { asset: asset.seed, user: user.seed },
    counts: frozen,
    async [Symbol.asyncDispose]() {
      await Promise.all([frozen.asset[Symbol.asyncDispose](), frozen.user[Symbol.asyncDispose]()])
    },
  }
}

function toEntry([producer, { serial, sequence, reported }]: [string, LastSerial]): ProducerEntry {
  return [producer, serial, sequence, reported]
}
