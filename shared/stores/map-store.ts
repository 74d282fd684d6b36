import type { Store } from './store.ts'

/** A store in memory. */
export function createMapStore<Value>(initial: Iterable<readonly [string, Value]> = []): Store<Value> {
  const values = new Map(initial)
  /** All ids in order. Rebuilt by the first list() after an id is added or removed. */
  let sortedIds: string[] | undefined
  return {
    get: (id) => values.get(id),
    async set(id, value) {
      if (!values.has(id)) sortedIds = undefined
      values.set(id, value)
    },
    async delete(id) {
      const existed = values.delete(id)
      if (existed) sortedIds = undefined
      return existed
    },
    list({ limit, after }) {
      sortedIds ??= [...values.keys()].sort()
      const start = after === undefined ? 0 : upperBound(sortedIds, after)
      const page = sortedIds.slice(start, start + limit)
      return {
        entries: page.flatMap((id) => {
          const value = values.get(id)
          return value === undefined ? [] : [[id, value]]
        }),
        next: start + limit < sortedIds.length ? page.at(-1) : undefined,
      }
    },
  }
}

/** The index of the first id greater than `after`, by binary search. */
function upperBound(ids: string[], after: string): number {
  let low = 0
  let high = ids.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (String(ids[middle]) > after) high = middle
    else low = middle + 1
  }
  return low
}
