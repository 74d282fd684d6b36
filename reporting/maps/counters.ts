const PAGE_COUNTERS = 1_024

/** Numbers from 0 to 2^53 - 1, by index. All are 0 at first. */
type Counters = {
  get(index: number): number
  /** Adds an amount to a counter, and returns the new value. */
  add(index: number, amount: number): number
  /** The size in memory in bytes, not including snapshots. */
  bytes(): number
  /** Takes a snapshot. A page is copied only when one of its counters changes. */
  freeze(): FrozenCounters
}

export type FrozenCounters = Pick<Counters, 'get'> & {
  /** The number of counters that are not 0. */
  positive: number
}

type Page = { values: Float64Array; isFrozen: boolean }

export function createCounters(): Counters {
  const pages: (Page | undefined)[] = []
  let positive = 0
  let bytes = 0

  /** Returns a page's values. If the page is frozen, copies it first. */
  function toWritable(number: number): Float64Array {
    // V8 would turn an array with a large hole into a slow dictionary.
    while (pages.length < number) pages.push(undefined)
    const page = pages[number]
    if (page && !page.isFrozen) return page.values
    const values = page?.values.slice() ?? new Float64Array(PAGE_COUNTERS)
    pages[number] = { values, isFrozen: false }
    if (!page) bytes += values.byteLength
    return values
  }

  return {
    get: (index) => pages[Math.floor(index / PAGE_COUNTERS)]?.values[index % PAGE_COUNTERS] ?? 0,
    add(index, amount) {
      const values = toWritable(Math.floor(index / PAGE_COUNTERS))
      const before = values[index % PAGE_COUNTERS] ?? 0
      const after = before + amount
      values[index % PAGE_COUNTERS] = after
      positive += Number(after > 0) - Number(before > 0)
      return after
    },
    bytes: () => bytes,
    freeze() {
      for (const page of pages) if (page) page.isFrozen = true
      const frozen = pages.map((page) => page?.values)
      return {
        get: (index) => frozen[Math.floor(index / PAGE_COUNTERS)]?.[index % PAGE_COUNTERS] ?? 0,
        positive,
      }
    },
  }
}
