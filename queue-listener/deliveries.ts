import type { Delivery } from '../shared/contracts/readiness.ts'
import type { ReportingClient } from './reporting-client.ts'

/** How long a batch counts toward the percentile. */
const WINDOW_MS = 5_000

type Count = ReportingClient['count']

export type Deliveries = {
  /** Wraps `count`, and records each counted batch that has views. */
  observe(count: Count): Count
  read(): Omit<Delivery, 'lagMs'>
}

/** Counts the deliveries to reporting, for the console's traffic display. */
export function createDeliveries(now: () => number = () => performance.now()): Deliveries {
  let batches = 0
  let views = 0
  let recent: { at: number; ms: number }[] = []

  function forgetOld(): void {
    recent = recent.filter(({ at }) => now() - at < WINDOW_MS)
  }

  return {
    observe: (count) => async (batch, signal) => {
      const startedAt = now()
      const result = await count(batch, signal)
      if (result.outcome !== 'counted' || batch.views.length === 0) return result
      batches += 1
      views += batch.views.length
      forgetOld()
      recent.push({ at: now(), ms: now() - startedAt })
      return result
    },
    read() {
      forgetOld()
      const durations = recent.map(({ ms }) => ms).toSorted((a, b) => a - b)
      return { batches, views, p99Ms: durations[Math.ceil(durations.length * 0.99) - 1] ?? null }
    },
  }
}
