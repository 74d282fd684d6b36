import type { ViewExplanation } from '../../shared/contracts/view-explanation.ts'
import type { RulesVersion } from '../rules/rule-sets.ts'
import type { VerdictRecord } from '../verdict-record.ts'
import { explainWatchTime } from '../watch/explain-watch-time.ts'

/** A view's watch time, and the log's clock. */
type Watched = { watchedMs: number | undefined; now: number }

export function toExplanation(record: VerdictRecord, rule: RulesVersion, watched: Watched): ViewExplanation {
  const { id, incarnation, sequence } = record
  const position = { stream: incarnation, sequence }
  if (record.state === 'rejected') {
    const { state, reason } = record
    const unknown = { assetId: null, userId: null, at: null }
    return { id, state, verdict: null, reason, rule: null, because: null, ...unknown, position }
  }
  const { state, assetId, userId, at, reason, because } = record
  return {
    id,
    state,
    verdict: reason === undefined ? 'qualified' : 'not-qualified',
    reason: reason ?? null,
    rule,
    because: because ? { id: because.id, at: toTime(because.at) } : null,
    assetId,
    userId,
    at: toTime(at),
    position,
    ...explainWatchTime({ ...watched, version: rule, clock: record.clock, requiredMs: record.requiredMs }),
  }
}

function toTime(ms: number): string {
  return new Date(ms).toISOString()
}
