/** The load-shedding priorities, lowest first. */
export const PRIORITIES = ['console', 'reads', 'prefetch', 'watched', 'plays'] as const
export type Priority = (typeof PRIORITIES)[number]

/** Plays in flight, including prefetches and reports of watch time, and the event-loop delay. */
export type Load = { inFlight: number; delayMs: number }

/** Maximum number of plays in flight. At full throughput, play completes this many in a few tenths of a second. */
const MAX_IN_FLIGHT = 4_000

/**
 * A priority's requests are refused once either value reaches `start`, until both values are below `end`. The
 * hysteresis keeps the edge from readmitting the load that overloaded it. Plays have no hysteresis, because each free
 * slot can serve a play.
 */
const THRESHOLDS: Record<Priority, { start: Load; end: Load }> = {
  console: { start: { inFlight: 500, delayMs: 150 }, end: { inFlight: 250, delayMs: 50 } },
  reads: { start: { inFlight: 750, delayMs: 200 }, end: { inFlight: 375, delayMs: 75 } },
  prefetch: { start: { inFlight: 1_000, delayMs: 250 }, end: { inFlight: 500, delayMs: 100 } },
  watched: { start: { inFlight: 2_000, delayMs: 500 }, end: { inFlight: 1_000, delayMs: 250 } },
  plays: { start: { inFlight: MAX_IN_FLIGHT, delayMs: Infinity }, end: { inFlight: MAX_IN_FLIGHT, delayMs: Infinity } },
}

const LEVELS = PRIORITIES.map((priority) => THRESHOLDS[priority])

/** Returns how many of the PRIORITIES are refused, lowest first, given how many were refused before. */
export function nextLevel(level: number, load: Load): number {
  const started = LEVELS.findLastIndex(({ start }) => exceeds(load, start)) + 1
  if (started >= level) return started
  return Math.max(started, Math.min(level, LEVELS.findLastIndex(({ end }) => exceeds(load, end)) + 1))
}

export function isRefused(priority: Priority, level: number): boolean {
  return PRIORITIES.indexOf(priority) < level
}

function exceeds(load: Load, limit: Load): boolean {
  return load.inFlight >= limit.inFlight || load.delayMs >= limit.delayMs
}
