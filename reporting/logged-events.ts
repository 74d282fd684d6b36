import type { EventBatch } from '../shared/contracts/event-batch.ts'
import type { View, WatchedView } from '../shared/contracts/view.ts'
import type { RuleEvent } from './rules/view-rule.ts'

/** A view in the log. `clock`: the latest time so far at which the log stored a message. `at`: the time of the play. */
export type LoggedView = RuleEvent &
  Pick<View, 'producer' | 'serial' | 'predecessor' | 'keyed' | 'duration'> & {
    sequence: number
    clock: number
  }

/** A watch-time report in the log. Its `id` is its view's id. */
type LoggedWatchReport = WatchedView & Pick<LoggedView, 'id' | 'clock'>

export type LoggedEvent = LoggedView | LoggedWatchReport

export function isWatchReport(event: LoggedEvent): event is LoggedWatchReport {
  return 'viewId' in event
}

type Batch = Pick<EventBatch, 'views' | 'watched' | 'messages' | 'through'>

/**
 * Returns a batch's views and watch-time reports in log order, each with its message's sequence and the log's clock. A
 * batch from a previous release has no `messages`; it is treated as a single message.
 */
export function toLoggedEvents({ views, watched = [], messages, through }: Batch, startClock: number): LoggedEvent[] {
  const logged: LoggedEvent[] = []
  let clock = startClock
  let [nextView, nextReport] = [0, 0]
  const parseTime = createTimeParser()

  /** Adds a message's reports that precede its view at `index`. */
  function addReports(sequence: number, index: number): void {
    for (let report = watched[nextReport]; report?.sequence === sequence; report = watched[nextReport]) {
      if (report.index > index) return
      logged.push({ ...report, id: report.viewId, clock })
      nextReport += 1
    }
  }

  for (const message of messages ?? [{ sequence: through, views: views.length, at: undefined }]) {
    const { sequence } = message
    if (message.at !== undefined) clock = Math.max(clock, Date.parse(message.at))
    for (let index = 0; index < message.views; index += 1) {
      const view = views[nextView]
      if (view === undefined) break
      addReports(sequence, index)
      const at = parseTime(view.at)
      if (message.at === undefined) clock = Math.max(clock, at)
      logged.push({ ...view, at, sequence, clock })
      nextView += 1
    }
    addReports(sequence, Number.POSITIVE_INFINITY)
  }
  return logged
}

/** Returns a function that parses times. Consecutive times are often equal, so the last result is cached. */
function createTimeParser(): (time: string) => number {
  let last: string | undefined
  let ms = Number.NaN
  return (time) => {
    if (time !== last) ms = Date.parse(time)
    last = time
    return ms
  }
}
