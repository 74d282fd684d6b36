/** How far the clock of another machine may be behind. */
const TOLERANCE_MS = 5_000

/** An earlier process of an instance: when it started by its own clock, and when the edge last saw it. */
export type Known = { startedAt: string; seenAt: number }

/**
 * The time of a restart: the start time that the process reports, limited to the time between the two observations that
 * show the restart, because the clock of the process may be wrong. If a process started while the edge still saw an
 * earlier one, both share one URL, and the new process replaced nothing.
 * @returns undefined if the process did not replace an earlier one
 */
export function toRestart(startedAt: string, predecessor: Known | undefined, now: number): number | undefined {
  const started = Date.parse(startedAt)
  if (!predecessor || started <= Date.parse(predecessor.startedAt) || started < predecessor.seenAt - TOLERANCE_MS)
    return undefined
  return Math.min(now, Math.max(predecessor.seenAt, started))
}
