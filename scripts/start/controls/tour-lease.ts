/** `granted`: whether the caller may run its step. `step`: the one that runs. */
export type TourLease = { granted: boolean; step: string }

/** A request for the lease, or for its extension. With 0 seconds, it ends. */
export type TourLeaseRequest = { holder: string; step: string; seconds: number }

/**
 * A lease, so that one tour at a time runs a step: each step kills and restarts the same processes.
 * @param now milliseconds that no change of the clock affects
 */
export function createTourLease(now = () => performance.now()) {
  let current = { holder: '', step: '', until: 0 }

  return function take({ holder, step, seconds }: TourLeaseRequest): TourLease {
    if (current.holder !== holder && now() < current.until) return { granted: false, step: current.step }
    current = { holder, step, until: now() + seconds * 1_000 }
    return { granted: true, step }
  }
}
