import { z } from 'zod'
import { type Position, toPosition } from '../../shared/contracts/position.ts'
import type { ViewExplanation } from '../../shared/contracts/view-explanation.ts'
import type { RulesVersion } from '../rules/rule-sets.ts'
import { explainWatchTime } from '../watch/explain-watch-time.ts'
import { toEventKey } from './event-key.ts'
import { fromAscii, toLiteral } from './literals.ts'
import { REJECTED, STATES } from './verdict-writes.ts'

const bigint = z.coerce.number()
const Row = z.tuple([
  bigint,
  bigint,
  z.string(),
  z.string(),
  z.string(),
  z.string(),
  z.string(),
  z.string(),
  z.string(),
  bigint,
  bigint.nullable(),
  bigint,
])
const Because = z.tuple([z.string(), z.number()])

/** Tolerated clock skew between play and the log. */
const MAX_SKEW_MS = 3_600_000
/** A version 7 UUID, which begins with a timestamp. */
const UUID_V7 = /^([\da-f]{8})-([\da-f]{4})-7/

/**
 * Queries that explain an event, to be run in order until one returns a row. If the id contains a time, the first query
 * reads only a few partitions.
 */
export function toExplanationQueries(eventId: string): string[] {
  const [, high, low] = UUID_V7.exec(eventId) ?? []
  const recent = high && low ? [toExplanationQuery(eventId, Number.parseInt(high + low, 16) - MAX_SKEW_MS)] : []
  return [...recent, toExplanationQuery(eventId)]
}

/**
 * Selects the last view with an id, or the last dead letter if no view has the id.
 * @param sinceClock the earliest time to search, by the log's clock
 */
export function toExplanationQuery(eventId: string, sinceClock?: number): string {
  const { key, id } = toEventKey(eventId)
  return `select at, sequence, state, reason, asset_id, user_id, because, incarnation, rules, clock, ms,
      (select clock from reporting.state)
    from reporting.verdict join reporting.verdict_origin using (origin)
      left join reporting.watched using (clock, sequence, index, origin)
    where key = ${toLiteral(key)} and event_id = ${toLiteral(id)}
      ${sinceClock === undefined ? '' : `and clock >= ${sinceClock}`}
    order by state = '${REJECTED.state}', origin desc, sequence desc, index desc limit 1`
}

export function toExplanation(id: string, row: readonly unknown[], version: RulesVersion): ViewExplanation {
  const [at, sequence, state, reason, assetId, userId, because, incarnation, rule, clock, ms, now] = Row.parse(row)
  const position: Position = toPosition({ incarnation: fromAscii(incarnation), sequence })
  const verdict = toVerdict(state)
  if (!verdict) {
    const unknown = { verdict: null, rule: null, because: null, assetId: null, userId: null, at: null }
    return { id, state: 'rejected', reason, position, ...unknown }
  }
  return {
    id,
    state: 'counted',
    verdict,
    reason: reason === '' ? null : reason,
    rule,
    because: state === STATES.pending || because === '' ? null : toBecause(because),
    assetId,
    userId,
    at: toTime(at),
    position,
    ...explainWatchTime({
      version,
      watchedMs: ms ?? undefined,
      clock,
      now,
      requiredMs: state === STATES.pending ? Number(because) : undefined,
    }),
  }
}

export function toTime(at: number): string {
  return new Date(at).toISOString()
}

function toVerdict(state: string): ViewExplanation['verdict'] {
  if (state === STATES.qualified) return 'qualified'
  if (state === STATES.pending) return 'pending'
  return state === STATES['not-qualified'] ? 'not-qualified' : null
}

function toBecause(text: string): ViewExplanation['because'] {
  const [id, at] = Because.parse(JSON.parse(text))
  return { id, at: toTime(at) }
}
