import { hash } from 'node:crypto'
import type { KnownIds } from '../deduplicator.ts'

/** The number of most recent ids that are certainly known. */
const KNOWN_IDS = 1_000_000

/** The size of a key in bytes; each of its characters is one byte. */
export const KEY_BYTES = 16

/** The first `size` keys of a generation. */
export type Generation = { keys: ReadonlySet<string>; size: number }

export type RecentIds = KnownIds & {
  /** The keys at this time, in constant time: keys are appended to a Set, and never removed. */
  freeze(): { previous: Generation; current: Generation }
}

type Options = { max?: number; previous?: Set<string>; current?: Set<string> }

/**
 * The last ids of events without serials, by source. Two generations hold one to two times the guaranteed number of
 * ids: dropping a whole generation costs less than evicting single ids. An id is stored as 16 bytes of the SHA-256 of its
 * UTF-16, as in Postgres, so that the keys can be copied: UTF-8 cannot tell lone surrogates apart.
 */
export function createKnownIds({
  max = KNOWN_IDS,
  previous = new Set(),
  current = new Set(),
}: Options = {}): RecentIds {
  return {
    add(source, id) {
      const text = Buffer.from(`${source.length} ${source}${id}`, 'utf16le')
      const key = hash('sha256', text, 'buffer').toString('latin1', 0, KEY_BYTES)
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
