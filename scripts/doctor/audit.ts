import { accountedViews } from '../../shared/contracts/audit.ts'
import { plural } from '../plural.ts'
import { type Finding, findingsAbout } from './finding.ts'
import type { Inspected } from './services.ts'

const { ok, fail } = findingsAbout('audit')

/** Checks that the numbers of reporting add up. Skips instances that are down or run a previous release. */
export function diagnoseAudits(reporting: Inspected[]): Finding[] {
  return reporting.flatMap(({ origin, audit }) => {
    if (!audit) return []
    const { views, qualified, pending, notQualified, direct } = audit
    const parts = [
      `${qualified} qualified`,
      ...Object.entries(notQualified).map(([reason, count]) => `${count} ${reason}`),
      ...(direct > 0 ? [`${direct} counted by a request`] : []),
      ...(pending !== 0 ? [`${pending} pending`] : []),
    ].join(' + ')
    const sum = accountedViews(audit)
    if (sum === views && pending >= 0) return [ok(`${origin} has ${plural(views, 'view')} = ${parts}`)]
    const text = `${origin} has ${plural(views, 'view')}, but ${parts} = ${sum}`
    return [fail(`${text}: npm run audit compares every number with the log`)]
  })
}
