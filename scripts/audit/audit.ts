import { fromNullablePosition, type LogPosition } from '../../shared/contracts/position.ts'
import type { EventLog } from '../../shared/event-log/event-log.ts'
import {
  compareCounts,
  compareDays,
  compareTotals,
  compareVerdicts,
  compareViews,
  type Differences,
} from './compare.ts'
import { readEntries } from './log.ts'
import { createRecount } from './recount.ts'
import type { ReportingReader } from './reporting.ts'

/** Longer than any view rule looks back. */
const WARM_UP_MS = 60_000

/** The log cannot be audited. The message is safe to print. */
export class AuditError extends Error {
  override name = 'AuditError'
}

/** The sequences whose verdicts are compared, both ends inclusive. */
export type Stretch = { from: number; to: number }

type Deps = { eventLog: Pick<EventLog, 'read' | 'extent'>; reporting: ReportingReader; stretch: Stretch }

/**
 * Counts the log from its start, and compares everything that reporting serves.
 * @throws AuditError, ReportingError
 */
export async function auditLog({ eventLog, reporting, stretch }: Deps) {
  const recount = createRecount()
  const notes: string[] = []
  const differences: Differences = []
  const { incarnation, first } = await eventLog.extent()
  let recounted: LogPosition = { incarnation, sequence: first - 1 }

  async function recountTo(position: LogPosition | undefined): Promise<void> {
    if (!position) return
    if (position.incarnation !== incarnation) {
      throw new AuditError(`reporting counts another log, ${position.incarnation}; this one is ${incarnation}`)
    }
    for await (const entry of readEntries(eventLog, recounted, position.sequence)) recount.add(entry)
    if (position.sequence > recounted.sequence) recounted = position
  }

  const audit = await reporting.audit()
  await recountTo(fromNullablePosition(audit.position))
  if (first > 1) notes.push(`the log starts at sequence ${first}: the totals cannot be compared`)
  else if (audit.pending > 0) {
    notes.push(
      `${audit.pending} views have no verdict, because a release without rules counted them: a recount judges them`,
    )
    notes.push('only the number of views and the kept verdicts are compared')
    differences.push(...compareViews(audit, recount))
  } else {
    differences.push(...compareTotals(audit, recount))
    const catchUp = async () => recountTo(await reporting.position())
    const comparison = { recount, catchUp, extra: audit.direct }
    differences.push(...(await compareCounts(reporting, comparison)), ...(await compareDays(reporting, comparison)))
  }
  // The first verdicts of a truncated log depend on messages that it no longer has.
  const since = first === 1 ? 0 : (recount.verdicts[0]?.clock ?? 0) + WARM_UP_MS
  const verdicts = recount.verdicts.filter(
    ({ sequence, clock }) => sequence >= stretch.from && sequence <= stretch.to && clock > since,
  )
  const { differences: wrong, compared } = await compareVerdicts(reporting, verdicts)
  return { differences: [...differences, ...wrong], notes, recount, compared }
}
