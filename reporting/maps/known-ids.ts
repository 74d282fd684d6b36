import { hash } from 'node:crypto'
import type { KnownIds } from '../deduplicator.ts'

/** The number of most recent ids that are certainly known. */
const KNOWN_IDS = 1_000_000

/**
 * The last ids of events without serials, by source. Two generations hold one to two times the guaranteed number of
 * ids: dropping a whole generation costs less than evicting single ids. An id is stored as 16 bytes of its SHA-256.
 */
export function createKnownIds(max = KNOWN_IDS): KnownIds {
  let current = new Set<string>()
  let previous = new Set<string>()
  return {
    add(source, id) {
      const key = hash('sha256', `${source.length} ${source}${id}`, 'buffer').toString('latin1', 0, 16)
      if (current.has(key) || previous.has(key)) return false
      if (current.size === max) {
        previous = current
        current = new Set()
      }
      current.add(key)
      return true
    },
  }
}
