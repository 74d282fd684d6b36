import { createKeyedHash, type KeyedHash } from './keyed-hash.ts'

const MAX_BUCKETS = 2 ** 27

/**
 * A hash index from ids to record numbers. A bucket holds the number of the last record whose id hashes to the bucket,
 * and each record refers to the previous record in its bucket. Entries are never removed: callers ignore numbers
 * that are too old. Numbers are kept modulo 2^32.
 */
type RecordIndex = {
  /** Hashes an id to 32 bits. */
  hash: KeyedHash
  /** The number of the last record before `next` in the bucket for a hash; negative if there is none. */
  last(hash: number, next: number): number
  /** Puts a record into the bucket for its hash, and returns a reference to the previous record in the bucket. */
  replaceLast(hash: number, number: number): number
  /** Resolves a record's `reference` to the previous record's number; negative if there is none. */
  earlier(number: number, reference: number): number
}

/** @param max the expected number of records, each of which takes 4 to 8 bytes */
export function createRecordIndex(max: number): RecordIndex {
  const size = Math.min(MAX_BUCKETS, 2 ** Math.ceil(Math.log2(Math.max(2, max))))
  let buckets: Uint32Array | undefined

  function useBuckets(): Uint32Array {
    // The operating system allocates the memory for a large array only once it is used.
    buckets ??= new Uint32Array(size)
    return buckets
  }

  return {
    hash: createKeyedHash(),
    last: (hash, next) => toNumberBefore(next, useBuckets()[hash & (size - 1)] ?? 0),
    replaceLast(hash, number) {
      const buckets = useBuckets()
      const bucket = hash & (size - 1)
      const before = buckets[bucket] ?? 0
      buckets[bucket] = number
      return before
    },
    earlier: toNumberBefore,
  }
}

/** The largest number below `number` that is congruent to `reference` modulo 2^32. */
function toNumberBefore(number: number, reference: number): number {
  return number - 1 - ((number - 1 - reference) >>> 0)
}
