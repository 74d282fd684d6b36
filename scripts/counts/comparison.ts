import type { Audit } from '../../shared/contracts/audit.ts'
import { alignColumns } from '../table.ts'

/** The version of the view rules, and where their counts are stored. */
type Target = { rules: string; isInPostgres: boolean }

type Numbers = Omit<Audit, 'waiting' | 'position'>

/** Formats a table that compares the current counts with the counts under other rules. */
export function toComparison(now: Numbers, next: Numbers, { rules, isInPostgres }: Target): string {
  const reasons = [...new Set([now, next].flatMap(({ notQualified }) => Object.keys(notQualified)))].toSorted()
  const rows = [
    ['', 'now', rules, 'difference'],
    toRow('views', now.views, next.views),
    toRow('qualified', now.qualified, next.qualified),
    ...reasons.map((reason) => toRow(reason, now.notQualified[reason] ?? 0, next.notQualified[reason] ?? 0)),
    ...(now.direct + next.direct > 0 ? [toRow('direct', now.direct, next.direct)] : []),
    ...(now.pending !== 0 || next.pending !== 0 ? [toRow('pending', now.pending, next.pending)] : []),
  ]
  return `${[alignColumns(rows, 0), ...toNotes(now), ...toHint(rules, isInPostgres)].join('\n')}\n`
}

function toRow(name: string, before: number, after: number): string[] {
  const difference = after - before
  return [name, String(before), String(after), difference > 0 ? `+${difference}` : String(difference)]
}

function toNotes({ direct }: Numbers): string[] {
  return direct > 0 ? ['Views that were counted by a request are not in the log, so the new counts lack them.'] : []
}

function toHint(rules: string, isInPostgres: boolean): string[] {
  const settings = `VIEW_RULES=${rules}${isInPostgres ? ' and this DATABASE_URL' : ''}`
  return [
    '',
    `To switch to the new counts, restart every instance of reporting with ${settings}.`,
    'It counts the rest of the log. To go back, restart it with the previous settings.',
  ]
}
