import { DEAD_LETTER } from '../../shared/contracts/view-explanation.ts'
import type { CountBatch } from '../count-store.ts'
import type { JudgedView } from '../engine.ts'
import type { CountState } from './count-state.ts'
import { toMark } from './watched-views.ts'

type Batch = Pick<CountBatch, 'incarnation' | 'skipped'> & {
  views: readonly JudgedView[]
  /** The log's clock before the batch. */
  clock: number
}

/** Records the outcome of each view in a batch, and of each event in its dead letters, in log order. */
export function recordVerdicts(verdicts: CountState['verdicts'], { views, ...batch }: Batch): void {
  const { incarnation, skipped = [] } = batch
  let { clock } = batch
  let next = 0

  function recordSkippedBefore(end: number): void {
    for (let message = skipped[next]; message && message.sequence < end; message = skipped[next]) {
      for (const id of message.ids) {
        verdicts.add({ id, incarnation, sequence: message.sequence, clock, state: 'rejected', reason: DEAD_LETTER })
      }
      next += 1
    }
  }

  for (const view of views) {
    recordSkippedBefore(view.sequence)
    const { id, sequence, assetId, userId, at, because, requiredMs, watchedMs } = view
    clock = view.clock
    const reason = view.verdict === 'not-qualified' ? view.reason : undefined
    const number = verdicts.add({
      id,
      incarnation,
      sequence,
      clock,
      state: 'counted',
      assetId,
      userId,
      at,
      reason,
      because,
      requiredMs,
    })
    if (watchedMs !== undefined && number !== undefined) verdicts.setMark(number, toMark(watchedMs))
  }
  recordSkippedBefore(Number.POSITIVE_INFINITY)
}
