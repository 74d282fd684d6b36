import type { RejectedRange, SerialRange } from '../shared/contracts/event-batch.ts'
import type { Predecessor, View } from '../shared/contracts/view.ts'

/** How many producers to remember. An instance of play becomes a new producer after each start and outage. */
const MAX_PRODUCERS = 100_000

/** The fields that identify a view in the log, and its message's sequence. */
type Numbered = Pick<View, 'id' | 'producer' | 'serial' | 'predecessor'> & { sequence?: number }

/** The views and the dead letters between two positions in the log. */
export type NumberedBatch<Item extends Numbered = View> = {
  after: number
  through: number
  views: Item[]
  /** The sequence of the oldest message that the log retains. */
  first?: number | undefined
  /** The serials in dead letters. */
  rejected?: RejectedRange[] | undefined
}

type Deduplicated<Item extends Numbered = View> = {
  /** The views that are not duplicates. */
  views: Item[]
  /** The serials of views that the log acknowledged but lost. */
  gaps: SerialRange[]
}

type Deduplicate = <Item extends Numbered>(batch: NumberedBatch<Item>) => Deduplicated<Item>

/** A producer's last serial, and the log position at which it was read. */
export type LastSerial = {
  serial: number
  sequence: number
  /** Missing views up to this serial have already been reported, because a successor named the producer. */
  reported: number
}

export type KnownIds = {
  /** @returns false if the id is already known */
  add(source: string, id: string): boolean
}

/** What the deduplicator remembers about earlier views. A count store keeps this state together with its counts. */
export type DeduplicationState = {
  /**
   * True if an unknown producer must start at serial 1, because no message has expired and no producer was forgotten.
   */
  isComplete: boolean
  /** The last serials by producer, in the order of the producers' last messages. */
  producers: Map<string, LastSerial>
  knownIds: KnownIds
}

/**
 * Drops duplicates, including messages that the broker itself stored twice. A producer's serials are consecutive. A
 * serial that is not larger than the last one is a duplicate. A serial that is larger than the next expected one shows
 * that the log lost acknowledged views. Views without a serial are deduplicated by source and id.
 */
export function createDeduplicator(state: DeduplicationState, maxProducers = MAX_PRODUCERS): Deduplicate {
  const { producers, knownIds } = state

  function lastOf(producer: string, firstSerial: number, sequence: number): LastSerial {
    const last = producers.get(producer) ?? {
      serial: state.isComplete ? 0 : firstSerial - 1,
      sequence: -1,
      reported: 0,
    }
    if (last.sequence === sequence) return last
    last.sequence = sequence
    producers.delete(producer)
    producers.set(producer, last)
    return last
  }

  /**
   * Forgets producers whose last message has expired. If more than `maxProducers` remain, also forgets those that have
   * been silent longest.
   */
  function forgetBefore(first: number): void {
    for (const [producer, { sequence }] of producers) {
      if (sequence >= first && producers.size <= maxProducers) return
      producers.delete(producer)
      state.isComplete = false
    }
  }

  return function deduplicate({ after, through, views, first = 1, rejected = [] }) {
    const gaps: SerialRange[] = []
    if (after === 0 && first > 1) state.isComplete = false

    function reportGap(producer: string, last: LastSerial, to: number): void {
      const from = Math.max(last.serial, last.reported) + 1
      if (from <= to) gaps.push({ producer, from, to })
    }
    /** @returns true if the serials are new */
    function advance(producer: string, from: number, to: number): boolean {
      const last = lastOf(producer, from, through)
      if (to <= last.serial) return false
      reportGap(producer, last, from - 1)
      last.serial = to
      return true
    }
    /**
     * Reports a predecessor's missing serials, but does not consume them, because any program may name any predecessor.
     */
    function end({ producer, serial }: Predecessor): void {
      const last = lastOf(producer, serial + 1, through)
      reportGap(producer, last, serial)
      last.reported = Math.max(last.reported, serial)
    }
    function isNew({ producer, id, serial, predecessor }: Numbered): boolean {
      if (producer === undefined) return true
      if (serial === undefined) return knownIds.add(producer, id)
      if (!advance(producer, serial, serial)) return false
      if (predecessor !== undefined) end(predecessor)
      return true
    }

    /** Consumes the serials in dead letters before a sequence, so that the result does not depend on the batching. */
    const waiting = [...rejected]
    function reject(before: number): void {
      while (waiting[0] && (waiting[0].sequence ?? Number.POSITIVE_INFINITY) < before) {
        const { producer, from, to } = waiting[0]
        advance(producer, from, to)
        waiting.shift()
      }
    }

    const counted = views.filter((view) => {
      if (view.sequence !== undefined) reject(view.sequence)
      return isNew(view)
    })
    for (const { producer, from, to } of waiting) advance(producer, from, to)
    forgetBefore(first)
    const rejectedBy = Map.groupBy(rejected, ({ producer }) => producer)
    return { views: counted, gaps: gaps.flatMap((gap) => subtract(gap, rejectedBy.get(gap.producer) ?? [])) }
  }
}

/** Returns the parts of `range` that none of `others` contains. */
function subtract(range: SerialRange, others: readonly SerialRange[]): SerialRange[] {
  return others.reduce(
    (rest, other) =>
      rest.flatMap((part) => {
        if (other.to < part.from || other.from > part.to) return part
        const before = { ...part, to: other.from - 1 }
        const after = { ...part, from: other.to + 1 }
        return [before, after].filter(({ from, to }) => from <= to)
      }),
    [range],
  )
}
