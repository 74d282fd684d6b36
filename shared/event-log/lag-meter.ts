type LagMeter = {
  /** Records the sequence up to which the reader has counted, and the sequence of the last message in the log. */
  observe(counted: number, end: number): void
  /** The lag in milliseconds. Infinite until the reader first reaches a mark; see createLagMeter. */
  lagMs(): number
  /** When the lag started to grow; undefined if the reader has counted everything. */
  laggingSince(): number | undefined
}

/**
 * Measures a reader's lag: marks the end of the log, and times how long the reader takes to reach the mark. Does not
 * use message timestamps, because they come from another clock.
 */
export function createLagMeter(now: () => number = () => performance.now()): LagMeter {
  let mark: { end: number; at: number } | undefined
  let tookMs = Number.POSITIVE_INFINITY
  return {
    observe(counted, end) {
      if (counted >= end) {
        mark = undefined
        tookMs = 0
      } else if (!mark || counted >= mark.end) {
        if (mark) tookMs = now() - mark.at
        mark = { end, at: now() }
      }
    },
    lagMs: () => (mark ? Math.max(tookMs, now() - mark.at) : tookMs),
    laggingSince: () => mark?.at,
  }
}
