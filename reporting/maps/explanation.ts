import type { ViewExplanation } from '../../shared/contracts/view-explanation.ts'
import { type RulesVersion, watchRuleOf } from '../rules/rule-sets.ts'
import { judgeWatchTime } from '../watch-time.ts'
import type { VerdictRecord } from './verdict-record.ts'

type Watched = { watchedMs: number | undefined; clock: number }

/** @param watched the watch time of the view, and the log's clock */
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
    ...toWatchTime(record, rule, watched),
  }
}

function toWatchTime(
  { clock, requiredMs }: VerdictRecord & { requiredMs?: number | undefined },
  version: RulesVersion,
  watched: Watched,
) {
  const rule = watchRuleOf(version)
  if (!rule) return undefined
  const { watchedMs } = watched
  const secondsWatched = watchedMs === undefined ? null : watchedMs / 1_000
  if (requiredMs === undefined) return { secondsWatched }
  const { verdict, reason = null } = judgeWatchTime({ clock, requiredMs, watchedMs }, rule, watched.clock)
  return { verdict, reason, secondsWatched, secondsRequired: requiredMs / 1_000 }
}

function toTime(ms: number): string {
  return new Date(ms).toISOString()
}
