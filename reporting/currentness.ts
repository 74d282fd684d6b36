import type { Counting, CountingState } from '../shared/contracts/counting.ts'
import type { EventBatch } from '../shared/contracts/event-batch.ts'
import type { LogPosition } from '../shared/contracts/position.ts'
import { createLagMeter } from '../shared/event-log/lag-meter.ts'

/** Counts that are behind are current again once their lag is below this. */
const CAUGHT_UP_MS = 1_000

export type Currentness = {
  /** Takes what a batch or a report says about the end of the log. `position` is the one after it was counted. */
  observe(batch: Pick<EventBatch, 'stream' | 'end' | 'oldest'>, position: LogPosition | undefined): void
  /** Whether the counts may be served. A single comparison, because every lookup calls it. */
  isCurrent(): boolean
  counting(): Counting
}

type Options = {
  /** At least a second. */
  maxLagMs: number
  /** Whether a log feeds the counts. If not, they are current until the first batch or report. */
  isFedByLog: boolean
  now?: () => number
}

/**
 * Decides whether the counts reflect the log. They do not until they have caught up with it after a start, while they
 * lag by more than `maxLagMs`, and when no batch or report has arrived for as long.
 */
export function createCurrentness({ maxLagMs, isFedByLog, now = () => performance.now() }: Options): Currentness {
  let lag = createLagMeter(now)
  let currentUntil = isFedByLog ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY
  let observedAt = Number.NEGATIVE_INFINITY
  /** Whether the last batch or report left the counts current, and whether any did. */
  let isServing = false
  let hasServed = false
  let progress = isFedByLog ? 0 : 1

  const isCurrent = () => now() < currentUntil

  /** Without corroboration by the lag, an old timestamp may be the fault of a clock. */
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
    observe({ stream, end, oldest }, position) {
      // A queue-listener of the release before does not report the end of the log.
      if (end === undefined) {
        currentUntil = Number.POSITIVE_INFINITY
        return
      }
      const counted = position && position.incarnation === stream ? position.sequence : 0
      // Nothing is known about the log during the silence, so that the counts have to catch up again.
      if (isServing && !isCurrent()) {
        isServing = false
        lag = createLagMeter(now)
      }
      observedAt = now()
      lag.observe(counted, end)
      progress = counted < end ? counted / end : 1
      isServing = lag.lagMs() <= (isServing ? maxLagMs : CAUGHT_UP_MS) && !isTooOld(oldest)
      hasServed ||= isServing
      currentUntil = isServing ? (lag.laggingSince() ?? observedAt) + maxLagMs : Number.NEGATIVE_INFINITY
    },
    counting() {
      return { state: state(), progress: isCurrent() ? 1 : progress }
    },
  }
}
