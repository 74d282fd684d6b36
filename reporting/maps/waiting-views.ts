import { hasClosed, type Waiting, type WaitingChanges } from '../watch/watch-changes.ts'

export type WaitingEntry = [second: number, unreported: number, reported: number]

/** The numbers of views that wait for watch time, by the second of the log's clock in which they were counted. */
export type WaitingViews = {
  /** Applies the changes. Removes the views that have closed by `clock`, the log's clock, and returns their numbers. */
  apply(changes: WaitingChanges, clock: number): Waiting
  entries(): WaitingEntry[]
  restore(entries: readonly WaitingEntry[]): void
}

export function createWaitingViews(): WaitingViews {
  /** In chronological order, because the log's clock never goes backwards. */
  const waiting = new Map<number, Waiting>()

  function add(second: number, { unreported, reported }: Waiting): void {
    const sum = waiting.get(second) ?? { unreported: 0, reported: 0 }
    waiting.set(second, { unreported: sum.unreported + unreported, reported: sum.reported + reported })
  }

  function close(clock: number): Waiting {
    const closed = { unreported: 0, reported: 0 }
    for (const [second, { unreported, reported }] of waiting) {
      if (!hasClosed(second, clock)) return closed
      closed.unreported += unreported
      closed.reported += reported
      waiting.delete(second)
    }
    return closed
  }

  return {
    apply(changes, clock) {
      for (const [second, change] of [...changes].toSorted(([a], [b]) => a - b)) add(second, change)
      return close(clock)
    },
    entries: () => Array.from(waiting, ([second, { unreported, reported }]) => [second, unreported, reported]),
    restore(entries) {
      for (const [second, unreported, reported] of entries) add(second, { unreported, reported })
    },
  }
}
