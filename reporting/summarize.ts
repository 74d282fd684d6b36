import type { ViewExplanation } from '../shared/contracts/view-explanation.ts'
import { ruleSets } from './rules/rule-sets.ts'
import { isWatchRule, type Rule } from './rules/view-rule.ts'

const rules = new Map(
  Object.values(ruleSets)
    .flat<readonly (readonly Rule[])[]>()
    .flatMap((rule) => (isWatchRule(rule) ? [] : [[rule.name, rule] as const])),
)

/** Explains a counted or rejected view in one sentence. */
export function summarize(explanation: ViewExplanation): string {
  const { state, verdict, reason, rule, because, position, at, secondsRequired } = explanation
  const sequence = position?.sequence
  if (state === 'rejected') return `Not a view: the message at sequence ${sequence} in the log is a dead letter.`
  if (secondsRequired !== undefined) return summarizeWatchTime(explanation, secondsRequired)
  if (verdict === 'qualified') return `Qualified: it passes all ${rule} view rules.`
  const described = because && at && rules.get(reason ?? '')?.describe(Date.parse(at), { at: Date.parse(because.at) })
  return `Not qualified: ${described ?? `the rule ${reason} disqualifies it`}${because ? `, event ${because.id}` : ''}.`
}

function summarizeWatchTime({ verdict, secondsWatched }: ViewExplanation, required: number): string {
  const watched = secondsWatched == null ? 'no watch time was reported' : `${secondsWatched} s were watched`
  if (verdict === 'qualified') return `Qualified: ${watched}, and ${required} s are required.`
  if (verdict === 'pending') return `Pending: ${watched} so far, and ${required} s are required within 24 hours.`
  return `Not qualified: ${watched} within 24 hours, and ${required} s are required.`
}
