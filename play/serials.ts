import type { NewView } from '../shared/event-log/event-log.ts'

/** Earlier producers that no recorded view has named yet, and the last acknowledged serial of each. */
export type Unnamed = Map<string, number>

export type Serials = {
  /**
   * Numbers views consecutively after the last recorded view. Each of the first views names one of the unnamed
   * producers.
   */
  number(views: readonly NewView[]): NewView[]
  /** Confirms that the numbered views are recorded. Until then, their serials may be assigned again. */
  record(views: readonly NewView[]): void
}

/**
 * Assigns consecutive serials to a producer's views, to reveal any views that the log loses or duplicates. A view that
 * names an earlier producer and its last serial also reveals the loss of that producer's last views.
 */
export function createSerials(unnamed: Unnamed = new Map()): Serials {
  let last = 0
  return {
    number(views) {
      const predecessors = Array.from(unnamed, ([producer, serial]) => ({ producer, serial }))
      return views.map((view, index) => {
        const numbered = { ...view, serial: last + index + 1 }
        const predecessor = predecessors[index]
        return predecessor ? { ...numbered, predecessor } : numbered
      })
    },
    record(views) {
      last += views.length
      if (unnamed.size === 0) return
      for (const { predecessor } of views) {
        if (predecessor && unnamed.get(predecessor.producer) === predecessor.serial)
          unnamed.delete(predecessor.producer)
      }
    },
  }
}

/** The serial of the first of these numbered views; 0 if there are none. */
export function firstSerial([first]: readonly NewView[]): number {
  return first?.serial ?? 0
}
