/** `granted`: whether the caller may run its step. `step`: the step that is running. */
export type TourLease = { granted: boolean; step: string }

/** A request to take or extend the lease. With 0 seconds, it releases the lease. */
export type TourLeaseRequest = { holder: string; step: string; seconds: number }

/**
 * A lease that lets only one tour at a time run a step, because all steps kill and restart the same processes.
 * @param now a monotonic clock, in milliseconds
 */
export function createTourLease(now = () => performance.now()) {
  let current = { holder: '', step: '', until: 0 }

  return function take({ holder, step, seconds }: TourLeaseRequest): TourLease {
    if (current.holder !== holder && now() < current.until) return { granted: false, step: current.step }
    current = { holder, step, until: now() + seconds * 1_000 }
    return { granted: true, step }
  }
}
