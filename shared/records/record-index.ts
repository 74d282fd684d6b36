const MAX_BUCKETS = 2 ** 27

/**
 * A hash index from ids to record numbers. A bucket holds the number of the last record whose id hashes to the bucket,
 * and each record refers to the previous record in its bucket. Entries are never removed: callers ignore numbers
 * that are too old. Numbers are kept modulo 2^32.
 */
export type RecordIndex = {
  /** The number of the last record before `next` in the bucket of an id; negative if there is none. */
  last(bytes: Buffer, start: number, end: number, next: number): number
  /** Puts a record into the bucket of its id, and returns a reference to the previous record in the bucket. */
  replaceLast(bytes: Buffer, start: number, end: number, number: number): number
  /** Resolves the `reference` of a record to the number of the previous record; negative if there is none. */
  earlier(number: number, reference: number): number
}

/** @param max the expected number of records, each of which takes 4 to 8 bytes */
export function createRecordIndex(max: number): RecordIndex {
  // The seed is random, so that an attacker cannot choose ids that all fall into one bucket.
  const seed = Math.floor(Math.random() * 2 ** 32)
  let buckets: Uint32Array | undefined

  function useBuckets(): Uint32Array {
    // The operating system allocates the memory of a large array only once it is used.
    buckets ??= new Uint32Array(Math.min(MAX_BUCKETS, 2 ** Math.ceil(Math.log2(Math.max(2, max)))))
    return buckets
  }

  function bucketOf(bytes: Buffer, start: number, end: number, size: number): number {
    let hash = seed
    for (let at = start; at < end; at += 1) hash = Math.imul(hash ^ (bytes[at] ?? 0), 0x01000193)
    return (hash ^ (hash >>> 15)) & (size - 1)
  }

  return {
    last(bytes, start, end, next) {
      const buckets = useBuckets()
      return toNumberBefore(next, buckets[bucketOf(bytes, start, end, buckets.length)] ?? 0)
    },
    replaceLast(bytes, start, end, number) {
      const buckets = useBuckets()
      const bucket = bucketOf(bytes, start, end, buckets.length)
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
