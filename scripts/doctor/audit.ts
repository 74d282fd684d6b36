import { z } from 'zod'
import { Audit, accountedViews } from '../../shared/contracts/audit.ts'
import { type Finding, fail, ok, plural } from './finding.ts'
import { probe } from './probe.ts'

/** A store may derive `pending` from the other numbers, so a negative value means that those are wrong. */
const AnyAudit = Audit.extend({ pending: z.int() })
type AnyAudit = z.infer<typeof AnyAudit>

/** Checks that the numbers of reporting add up. Skips instances that are down or run a previous release. */
export async function* checkAudit(reporting: string[]): AsyncGenerator<Finding> {
  for (const origin of reporting) {
    const audit = AnyAudit.safeParse((await probe(origin, '/events/audit')).json).data
    if (audit) yield toFinding(origin, audit)
  }
}

function toFinding(origin: string, audit: AnyAudit): Finding {
  const { views, qualified, pending, notQualified, direct } = audit
  const parts = [
    `${qualified} qualified`,
    ...Object.entries(notQualified).map(([reason, count]) => `${count} ${reason}`),
    ...(direct > 0 ? [`${direct} counted by a request`] : []),
    ...(pending !== 0 ? [`${pending} pending`] : []),
  ].join(' + ')
  const sum = accountedViews(audit)
  if (sum === views && pending >= 0) return ok('audit', `${origin} has ${plural(views, 'view')} = ${parts}`)
  const text = `${origin} has ${plural(views, 'view')}, but ${parts} = ${sum}`
  return fail('audit', `${text}: npm run audit compares every number with the log`)
}
