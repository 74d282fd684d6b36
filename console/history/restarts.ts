/** How far another machine's clock may lag behind the edge's clock. */
const TOLERANCE_MS = 5_000

/** An earlier process of an instance: when it started according to its own clock, and when the edge last saw it. */
export type KnownStart = { startedAt: string; seenAt: number }

/**
 * The time of a restart, as reported by the new process. That process's clock may be wrong, so the time is clamped to
 * the interval between the observations before and after the restart. If a process started while the edge still saw an
 * earlier process, the two share one URL, and there was no restart.
 * @returns undefined if the process did not replace an earlier process
 */
export function toRestart(startedAt: string, predecessor: KnownStart | undefined, now: number): number | undefined {
  const start = Date.parse(startedAt)
  if (!predecessor || start <= Date.parse(predecessor.startedAt) || start < predecessor.seenAt - TOLERANCE_MS)
    return undefined
  return Math.min(now, Math.max(predecessor.seenAt, start))
}
