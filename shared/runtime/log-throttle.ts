/**
 * Keeps frequent events from flooding the log: allows one line per key every `everyMs` milliseconds.
 * @returns how many times the event occurred since its last line, if a line is due; otherwise undefined
 */
export function createLogThrottle(everyMs = 1_000): (key: string) => number | undefined {
  const seen = new Map<string, { loggedAt: number; suppressed: number }>()
  return (key) => {
    const now = performance.now()
    const last = seen.get(key)
    if (last && now - last.loggedAt < everyMs) {
      last.suppressed += 1
      return undefined
    }
    seen.set(key, { loggedAt: now, suppressed: 0 })
    return (last?.suppressed ?? 0) + 1
  }
}
