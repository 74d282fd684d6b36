import { count } from '../../shared/runtime/settings.ts'

/** Each verdict or key takes about 100 bytes. */
const MAX_KEPT = 100_000_000
/** A Map holds at most 2^24 entries, and all counts may belong to the same hour. */
const MAX_SERIES_KEPT = 10_000_000

/**
 * How many of the most recent verdicts and keys to keep. `series` limits the hourly per-asset counts and, separately,
 * the daily ones.
 */
export type Kept = { verdicts: number; keys: number; series?: number }

export const DEFAULT_KEPT: Kept = { verdicts: 1_000_000, keys: 1_000_000 }
export const DEFAULT_SERIES_KEPT = 1_000_000

export const verdictsKept = count(
  DEFAULT_KEPT.verdicts,
  'Number of views whose verdicts are kept in memory, about 100 bytes each; ignored if DATABASE_URL is set',
  MAX_KEPT,
  0,
)

export const keysKept = count(
  DEFAULT_KEPT.keys,
  'Maximum number of views with an idempotency key whose retries are recognized',
  MAX_KEPT,
)

export const seriesKept = count(
  DEFAULT_SERIES_KEPT,
  'Maximum number of hourly per-asset counts, and separately of daily ones, that are kept in memory, about 100 bytes each; ignored if DATABASE_URL is set',
  MAX_SERIES_KEPT,
)
