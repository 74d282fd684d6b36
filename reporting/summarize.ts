import type { ViewExplanation } from '../shared/contracts/view-explanation.ts'
import { ruleSets } from './rules/rule-sets.ts'

const rules = new Map(
  Object.values(ruleSets)
    .flat()
    .map((rule) => [rule.name, rule]),
)

/** Explains a counted or rejected view in one sentence. */
export function summarize({ state, verdict, reason, rule, because, position, at }: ViewExplanation): string {
  const sequence = position?.sequence
  if (state === 'rejected') return `Not a view: the message at sequence ${sequence} of the log is a dead letter.`
  if (verdict === 'qualified') return `Qualified: no view rule of ${rule} objects.`
  const described = because && at && rules.get(reason ?? '')?.describe(Date.parse(at), { at: Date.parse(because.at) })
  return `Not qualified: ${described ?? `the rule ${reason} objects`}${because ? `, event ${because.id}` : ''}.`
}
