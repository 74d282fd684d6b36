export type LagMeter = {
  /** The sequence up to which the reader has counted, and the sequence of the last message in the log. */
  observe(counted: number, end: number): void
  /** How long the reader takes to count what the log holds, in milliseconds. Infinite until it has done so once. */
  lagMs(): number
  /** From when on the lag has been growing; undefined if the reader has counted everything. */
  laggingSince(): number | undefined
}

/**
 * Measures the lag of a reader: it marks the end of the log, and takes the time until the reader is there. It needs no
 * clock but its own, which may differ from the one that dates the messages.
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
