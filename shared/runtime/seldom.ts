/**
 * Keeps what happens very often from filling the log: for each key at most one line in `everyMs` milliseconds.
 * @returns how often it has happened since its last line, where it is time for one; else undefined
 */
export function createSeldom(everyMs = 1_000): (key: string) => number | undefined {
  const seen = new Map<string, { since: number; times: number }>()
  return (key) => {
    const now = performance.now()
    const last = seen.get(key)
    if (last && now - last.since < everyMs) {
      last.times += 1
      return undefined
    }
    seen.set(key, { since: now, times: 0 })
    return (last?.times ?? 0) + 1
  }
}
