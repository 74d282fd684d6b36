import type { Store } from './store.ts'

/** A store that lives as long as its process. */
export function createMapStore<Value>(initial: Iterable<readonly [string, Value]> = []): Store<Value> {
  const values = new Map(initial)
  /** All ids in order; made when a list is asked for, dropped when an id comes or goes. */
  let ids: string[] | undefined

  return {
    get: (id) => values.get(id),
    async set(id, value) {
      if (!values.has(id)) ids = undefined
      values.set(id, value)
    },
    async delete(id) {
      const found = values.delete(id)
      if (found) ids = undefined
      return found
    },
    list({ limit, after }) {
      ids ??= [...values.keys()].sort()
      const start = after === undefined ? 0 : firstAfter(ids, after)
      const page = ids.slice(start, start + limit)
      return {
        entries: page.map((id) => [id, values.get(id) as Value]),
        next: start + limit < ids.length ? page.at(-1) : undefined,
      }
    },
  }
}

/** The index of the first id greater than `after`, by bisection. */
function firstAfter(ids: string[], after: string): number {
  let low = 0
  let high = ids.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((ids[middle] as string) > after) high = middle
    else low = middle + 1
  }
  return low
}
