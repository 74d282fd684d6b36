import type { Counting, CountingState } from '../shared/contracts/counting.ts'
import { type LogPosition, sequenceIn } from '../shared/contracts/position.ts'
import { createLagMeter } from '../shared/event-log/lag-meter.ts'
import type { CountStore, ReportObserver } from './count-store.ts'

/** Counts that are behind become current again once their lag is below this limit. */
const CAUGHT_UP_MS = 1_000

export type Currentness = {
  /** After each batch or report, records the end of the log and the counts' position. */
  observe: ReportObserver
  /** Returns true if the counts may be served. Makes a single comparison, because every lookup calls this function. */
  isCurrent(): boolean
  counting(): Counting
  /** The end of the log as of the last batch or report; undefined if it is unknown. */
  end(): LogPosition | undefined
}

type Options = {
  /** Must be at least CAUGHT_UP_MS. */
  maxLagMs: number
  /** True if a log feeds the counts. If false, they are current until the first batch or report. */
  isFedByLog: boolean
  now?: () => number
}

/**
 * Decides whether the counts are current. They are current if they have caught up with the log since this process
 * started, they lag by at most `maxLagMs`, and the end of the log was last reported at most `maxLagMs` ago.
 */
export function createCurrentness({ maxLagMs, isFedByLog, now = () => performance.now() }: Options): Currentness {
  let lag = createLagMeter(now)
  let currentUntil = isFedByLog ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY
  let observedAt = Number.NEGATIVE_INFINITY
  /** True if the counts were current after the last batch or report. */
  let isServing = false
  /** True once the counts have been current. */
  let hasServed = false
  let progress = isFedByLog ? 0 : 1
  let logEnd: LogPosition | undefined

  const isCurrent = () => now() < currentUntil

  /** An incorrect clock can make a message look old, so its age is ignored unless the lag confirms it. */
  function isTooOld(oldest: string | undefined): boolean {
    return oldest !== undefined && lag.lagMs() >= CAUGHT_UP_MS && Date.now() - Date.parse(oldest) > maxLagMs
  }

  function state(): CountingState {
    if (isCurrent()) return 'current'
    if (now() - observedAt >= maxLagMs) return 'unknown'
    return hasServed ? 'behind' : 'replaying'
  }

  return {
    isCurrent,
    observe({ incarnation, end, oldest }, position, ageMs = 0) {
      // A queue-listener from the previous release does not report the end of the log. Serve the counts anyway.
      if (end === undefined) {
        currentUntil = Number.POSITIVE_INFINITY
        return
      }
      const sequence = sequenceIn(incarnation, position)
      // The log may have grown since the last report, so the counts have to catch up again.
      if (isServing && !isCurrent()) {
        isServing = false
        lag = createLagMeter(now)
      }
      observedAt = now() - ageMs
      logEnd = { incarnation, sequence: end }
      lag.observe(sequence, end)
      progress = sequence < end ? sequence / end : 1
      isServing = lag.lagMs() <= (isServing ? maxLagMs : CAUGHT_UP_MS) && !isTooOld(oldest)
      hasServed ||= isServing
      currentUntil = isServing ? (lag.laggingSince() ?? observedAt) + maxLagMs : Number.NEGATIVE_INFINITY
    },
    counting() {
      return { state: state(), progress: isCurrent() ? 1 : progress }
    },
    end: () => logEnd,
  }
}

/** Counts that are still loading are not current, whatever queue-listener has reported. */
export function onceLoaded(
  currentness: Currentness,
  { id }: Pick<CountStore, 'id'>,
): Pick<Currentness, 'isCurrent' | 'counting' | 'end'> {
  return {
    isCurrent: () => currentness.isCurrent() && id() !== undefined,
    end: currentness.end,
    counting() {
      const store = id()
      return store === undefined ? { state: 'replaying', progress: 0 } : { ...currentness.counting(), store }
    },
  }
}
