/** A histogram of durations in seconds. `atMost` maps upper bounds to cumulative counts, as in Prometheus. */
export type Distribution = { count: number; atMost: Map<number, number> }

/** Returns the values added since an earlier reading, or since the histogram's last reset if that was later. */
export function distributionSince(later: Distribution, earlier: Distribution | undefined): Distribution {
  if (!earlier || later.count < earlier.count) return later
  const atMost = [...later.atMost].map(([bound, n]) => [bound, n - (earlier.atMost.get(bound) ?? 0)] as const)
  return { count: later.count - earlier.count, atMost: new Map(atMost) }
}

/**
 * The 99th percentile in milliseconds, interpolated within its bucket, as `histogram_quantile` does in Prometheus.
 * Returns the highest bound if the percentile exceeds that bound, and null if there are no values.
 */
export function toP99({ count, atMost }: Distribution): number | null {
  if (count === 0) return null
  const rank = count * 0.99
  let lower = 0
  let below = 0
  for (const [bound, n] of [...atMost].toSorted(([a], [b]) => a - b)) {
    if (bound === Number.POSITIVE_INFINITY) break
    if (n >= rank) return (lower + ((bound - lower) * (rank - below)) / (n - below)) * 1_000
    lower = bound
    below = n
  }
  return lower * 1_000
}
