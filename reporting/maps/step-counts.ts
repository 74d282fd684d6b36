import type { StepCount } from '../series.ts'

/** The counts of the first `size` ids in a step. Ids may still be added to `ids`, but are never removed. */
export type FrozenCounts = { ids: ReadonlyMap<string, number>; size: number; numbers: Float64Array }

type Counts = {
  /** Each id's index. */
  ids: Map<string, number>
  /** Each id's views, and how many of them are qualified. */
  numbers: Float64Array
  isFrozen: boolean
}

export type StepCounts = {
  add(at: number, counts: ReadonlyMap<string, Readonly<StepCount>>): void
  get(at: number, id: string): StepCount | undefined
  /** The start of the first remaining step if `dropExcess` has dropped earlier steps; otherwise undefined. */
  since(): number | undefined
  drop(at: number): void
  /** Drops the oldest steps until at most `max` counts remain. */
  dropExcess(): void
  /** Freezes a step's counts without copying them. */
  freeze(at: number): FrozenCounts | undefined
}

type Options = {
  /** Maximum number of counts after `dropExcess`. */
  max: number
  /** The duration of a step. */
  stepMs: number
  since?: number | undefined
}

/** A compact table of counts by id, for steps of the same duration. */
export function createStepCounts({ max, stepMs, since }: Options): StepCounts {
  const steps = new Map<number, Counts>()
  let size = 0

  function drop(at: number): void {
    size -= steps.get(at)?.ids.size ?? 0
    steps.delete(at)
  }

  return {
    add(at, additions) {
      if (additions.size === 0 || (since !== undefined && at < since)) return
      const counts = steps.getOrInsertComputed(at, createCounts)
      const before = counts.ids.size
      for (const [id, count] of additions) addCount(counts, id, count)
      size += counts.ids.size - before
    },
    get(at, id) {
      const { ids, numbers } = steps.get(at) ?? {}
      const index = ids?.get(id)
      if (index === undefined || numbers === undefined) return undefined
      return countAt(numbers, index)
    },
    since: () => since,
    drop,
    dropExcess() {
      if (size <= max) return
      for (const at of [...steps.keys()].toSorted((a, b) => a - b)) {
        if (size <= max) return
        drop(at)
        since = at + stepMs
      }
    },
    freeze(at) {
      const counts = steps.get(at)
      if (!counts) return undefined
      counts.isFrozen = true
      return { ids: counts.ids, size: counts.ids.size, numbers: counts.numbers }
    },
  }
}

function createCounts(): Counts {
  return { ids: new Map(), numbers: new Float64Array(2), isFrozen: false }
}

/** Copies frozen counts. */
export function toCounts(frozen: FrozenCounts | undefined): Map<string, StepCount> {
  if (!frozen) return new Map()
  const { ids, size, numbers } = frozen
  return new Map(
    ids
      .entries()
      .take(size)
      .map(([id, index]) => [id, countAt(numbers, index)]),
  )
}

export function countAt(numbers: Float64Array, index: number): StepCount {
  return { views: numbers[2 * index] ?? 0, qualified: numbers[2 * index + 1] ?? 0 }
}

function addCount(counts: Counts, id: string, { views, qualified }: Readonly<StepCount>): void {
  let index = counts.ids.get(id)
  if (index === undefined) {
    index = counts.ids.size
    counts.ids.set(id, index)
  }
  const numbers = writableNumbers(counts, index)
  numbers[2 * index] = (numbers[2 * index] ?? 0) + views
  numbers[2 * index + 1] = (numbers[2 * index + 1] ?? 0) + qualified
}

/** Returns the numbers. If they are frozen, or have no room for the index, first replaces them with a copy. */
function writableNumbers(counts: Counts, index: number): Float64Array {
  const { numbers } = counts
  const hasRoom = 2 * index < numbers.length
  if (hasRoom && !counts.isFrozen) return numbers
  counts.numbers = new Float64Array(hasRoom ? numbers.length : 2 * numbers.length)
  counts.numbers.set(numbers)
  counts.isFrozen = false
  return counts.numbers
}
