import type { SerialRange } from '../shared/contracts/event-batch.ts'
import type { LostViews } from '../shared/contracts/lost-views.ts'

/** Maximum number of gaps to list. */
const MAX_GAPS = 100

/** Adds gaps to the lost views. */
export function addGaps(lost: LostViews, gaps: readonly SerialRange[]): LostViews {
  if (gaps.length === 0) return lost
  // Forged serials could make the sum exceed the range of safe integers.
  const views = gaps.reduce((sum, { from, to }) => Math.min(sum + to - from + 1, Number.MAX_SAFE_INTEGER), lost.views)
  return { views, gaps: [...lost.gaps, ...gaps].slice(-MAX_GAPS) }
}
