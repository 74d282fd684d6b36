import type { KnownIds } from '../deduplicator.ts'
import { toEventDigest } from '../digest.ts'

/** At least this many of the most recent ids are remembered. */
const KNOWN_IDS = 1_000_000

/** The first `size` keys of a generation. A key is a digest as a binary string: each character is one byte. */
export type Generation = { keys: ReadonlySet<string>; size: number }

export type RecentIds = KnownIds & {
  /** Takes a snapshot of the keys in constant time, because keys are only appended to a Set, never removed. */
  freeze(): { previous: Generation; current: Generation }
}

type Options = { max?: number; previous?: Set<string>; current?: Set<string> }

/**
 * The most recent ids of events without serials, by source. They are kept in two generations, which together hold one
 * to two times the guaranteed number, because dropping a whole generation costs less than evicting individual ids.
 */
export function createKnownIds({
  max = KNOWN_IDS,
  previous = new Set(),
  current = new Set(),
}: Options = {}): RecentIds {
  return {
    add(source, id) {
      const key = toEventDigest(source, id)
      if (current.has(key) || previous.has(key)) return false
      if (current.size >= max) {
        previous = current
        current = new Set()
      }
      current.add(key)
      return true
    },
    freeze: () => ({
      previous: { keys: previous, size: previous.size },
      current: { keys: current, size: current.size },
    }),
  }
}
