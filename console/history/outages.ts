import type { Observed } from './observe.ts'
import type { Failure } from './store.ts'

/** An outage requires this many failed observations in a row, because a single check may fail under load. */
const CONFIRMED = 2

type Tracked = Failure & { start: number; times: number }

type OutageTracker = {
  /**
   * Adds the observations made at the time `at`.
   * @returns the failures that consecutive observations confirm, and the confirmed failures that have ended
   */
  observe(at: number, subjects: readonly Observed[]): { failing: Tracked[]; recovered: Failure[] }
  /** Discards all tracked failures. Call this after a gap in the observations. */
  reset(): void
}

export function createOutageTracker(): OutageTracker {
  let tracked = new Map<string, Tracked>()
  return {
    observe(at, subjects) {
      const next = new Map<string, Tracked>()
      for (const { service, instance, failure } of subjects) {
        if (!failure) continue
        const key = `${service} ${instance} ${failure.state}`
        const { start, times } = tracked.get(key) ?? { start: at, times: 0 }
        next.set(key, { service, instance, ...failure, start, times: times + 1 })
      }
      const isConfirmed = ({ times }: Tracked) => times >= CONFIRMED
      const recovered = [...tracked].flatMap(([key, failure]) =>
        next.has(key) || !isConfirmed(failure) ? [] : [failure],
      )
      tracked = next
      return { failing: [...next.values()].filter(isConfirmed), recovered }
    },
    reset() {
      tracked = new Map()
    },
  }
}
