import type { Predecessor } from '../shared/contracts/view.ts'
import type { NewView } from '../shared/event-log/event-log.ts'

export type Serials = {
  /** Numbers views consecutively, after the last recorded view. The first numbered view names the predecessor. */
  number(views: readonly NewView[]): NewView[]
  /** Confirms that the numbered views are recorded. Until then, their serials may be assigned again. */
  record(views: readonly NewView[]): void
  /** Makes the next view name an earlier producer and its last acknowledged serial, which reveals lost last views. */
  name(predecessor: Predecessor): void
}

/** The serials of a producer, which reveal views that the log lost or duplicated. */
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
