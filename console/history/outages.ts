import type { Observed } from './observe.ts'
import type { Failure } from './store.ts'

/** A single failed check under load is not an outage. */
const CONFIRMED = 2

type Tracked = Failure & { start: number; times: number }

export type OutageTracker = {
  /**
   * Takes the observations made at one time.
   * @returns the failures that several consecutive observations confirm, and those that have ended
   */
  observe(at: number, subjects: readonly Observed[]): { failing: Tracked[]; recovered: Failure[] }
  /** Starts over, because time has passed without observations. */
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
      const recovered = [...tracked].flatMap(([key, known]) => (next.has(key) || !isConfirmed(known) ? [] : [known]))
      tracked = next
      return { failing: [...next.values()].filter(isConfirmed), recovered }
    },
    reset() {
      tracked = new Map()
    },
  }
}
