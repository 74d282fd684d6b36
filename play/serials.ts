import type { Predecessor } from '../shared/contracts/view.ts'
import type { NewView } from '../shared/event-log/event-log.ts'

export type Serials = {
  /** Numbers views consecutively, after the last recorded one. The first of them names the predecessor. */
  number(views: readonly NewView[]): NewView[]
  /** The numbered views are recorded. Until then, their serials are not used up. */
  record(views: readonly NewView[]): void
  /** Names an earlier producer and its last acknowledged serial once, so that a loss of its last views shows, too. */
  name(predecessor: Predecessor): void
}

/** The serials of a producer, which show whether the log loses or duplicates its views. */
export function createSerials(predecessor?: Predecessor): Serials {
  let last = 0
  let unnamed = predecessor
  return {
    number: (views) =>
      views.map((view, index) => {
        const numbered = { ...view, serial: last + index + 1 }
        return index === 0 && unnamed ? { ...numbered, predecessor: unnamed } : numbered
      }),
    record(views) {
      last += views.length
      if (views[0]?.predecessor === unnamed) unnamed = undefined
    },
    name(predecessor) {
      unnamed = predecessor
    },
  }
}
