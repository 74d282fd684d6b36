import type { Audit } from '../../shared/contracts/audit.ts'
import type { SkippedMessage } from '../../shared/contracts/event-batch.ts'
import { countSkipped, type Verdicts } from '../engine.ts'

/** The audit's counts, except `views` and `qualified`. For `qualified`, call qualifiedOf(). */
export type Totals = Pick<Audit, 'pending' | 'notQualified' | 'direct' | 'retried' | 'rejected'>

export function createTotals(): Totals {
  return { pending: 0, notQualified: {}, direct: 0, retried: 0, rejected: 0 }
}

export function qualifiedOf({ views, totals }: { views: number; totals: Totals }): number {
  const { pending, direct, notQualified } = totals
  return Object.values(notQualified).reduce((rest, number) => rest - number, views - pending - direct)
}

/** Adds a batch's counts to the totals. */
export function addVerdicts(
  totals: Totals,
  { views, retried, keysReused }: Verdicts,
  skipped: readonly SkippedMessage[] = [],
): void {
  for (const { verdict, reason } of views) {
    if (verdict === 'not-qualified') totals.notQualified[reason] = (totals.notQualified[reason] ?? 0) + 1
  }
  totals.retried += retried
  totals.rejected += keysReused + countSkipped(skipped)
}
