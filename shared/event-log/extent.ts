import { type LogPosition, sequenceIn } from '../contracts/position.ts'

/**
 * The sequences that a log retains. `first` is the sequence of the oldest message, or one more than `last` in an empty
 * log. `last` is the sequence of the last message ever stored.
 */
export type LogExtent = { incarnation: string; first: number; last: number }

/** Consecutive sequences, both ends inclusive. */
export type SequenceRange = { from: number; to: number }

/** The messages after the reader's position have expired or were purged. */
export class LogTruncatedError extends Error {
  override name = 'LogTruncatedError'
  readonly missing: SequenceRange

  constructor(missing: SequenceRange) {
    const { from, to } = missing
    super(
      `the log no longer has the messages ${from} to ${to} (${to - from + 1} in total), which have not been counted. Restore a backup of the counts, or accept the loss with npm run counts -- accept-loss`,
    )
    this.missing = missing
  }
}

/** The messages after a reader's position that the log no longer retains; undefined if it retains all of them. */
export function missingAfter(
  after: LogPosition | undefined,
  { incarnation, first }: LogExtent,
): SequenceRange | undefined {
  const read = sequenceIn(incarnation, after)
  return first > read + 1 ? { from: read + 1, to: first - 1 } : undefined
}

/** @throws LogTruncatedError if the log does not reach back to the reader's position */
export function assertReachesBack(after: LogPosition | undefined, extent: LogExtent): void {
  const missing = missingAfter(after, extent)
  if (missing) throw new LogTruncatedError(missing)
}
