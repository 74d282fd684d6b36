import { fromNullablePosition, type LogPosition } from '../../shared/contracts/position.ts'
import type { EventLog } from '../../shared/event-log/event-log.ts'
import { compareCounts, compareTotals, compareVerdicts, compareViews, type Differences } from './compare.ts'
import { compareAssetDays, compareDays } from './compare-days.ts'
import { readEntries } from './log.ts'
import { createRecount, type Rules, type Verdict } from './recount.ts'
import type { ReportingReader } from './reporting.ts'

/** How much of a truncated log to skip, by version of the view rules. Must exceed the time that the rules look back. */
const WARM_UP_MS: Record<Rules, number> = { v1: 60_000, v2: 25 * 3_600_000 }

/** The maximum number of views to look up, newest first, to determine the version of the rules. */
const MAX_TRIED = 100

/** The log cannot be audited. The message is safe to print. */
export class AuditError extends Error {
  override name = 'AuditError'
}

/** The range of sequences whose verdicts are compared, both ends inclusive. */
export type Stretch = { from: number; to: number }

export const WHOLE_LOG: Stretch = { from: 1, to: Number.MAX_SAFE_INTEGER }

type Deps = { eventLog: Pick<EventLog, 'read' | 'extent'>; reporting: ReportingReader; stretch: Stretch }

/**
 * Recounts the log from its start, and compares the result with everything that reporting serves.
 * @throws AuditError, ReportingError
 */
export async function auditLog({ eventLog, reporting, stretch }: Deps) {
  const recounts = { v1: createRecount('v1'), v2: createRecount('v2') }
  const notes: string[] = []
  const differences: Differences = []
  const { incarnation, first } = await eventLog.extent()
  let recounted: LogPosition = { incarnation, sequence: first - 1 }
  const isInStretch = ({ sequence }: { sequence: number }) => sequence >= stretch.from && sequence <= stretch.to
  let isStretchEmpty = true

  async function recountTo(position: LogPosition | undefined): Promise<void> {
    if (!position) return
    if (position.incarnation !== incarnation) {
      throw new AuditError(`reporting counts a different log: ${position.incarnation}, not ${incarnation}`)
    }
    for await (const entry of readEntries(eventLog, recounted, position.sequence)) {
      for (const recount of Object.values(recounts)) recount.add(entry)
      if (isInStretch(entry)) isStretchEmpty = false
    }
    if (position.sequence > recounted.sequence) recounted = position
  }

  const audit = await reporting.audit()
  await recountTo(fromNullablePosition(audit.position))
  // An empty log is valid. An empty range is a user error, because nothing would be compared.
  if (isStretchEmpty && !isWhole(stretch)) {
    throw new AuditError(`no message in this range: reporting has counted sequences ${first} to ${recounted.sequence}`)
  }
  const rules = await findRules(reporting, recounts.v1.verdicts)
  const recount = recounts[rules]
  let caughtUp = Promise.resolve()
  /** Calls run one after another, because each continues where the previous one ended. */
  function catchUp(): Promise<void> {
    caughtUp = caughtUp.then(async () => recountTo(await reporting.position()))
    return caughtUp
  }
  if (first > 1) notes.push(`the log starts at sequence ${first}, so the totals cannot be compared`)
  else if (audit.pending > 0 && rules === 'v1') {
    notes.push(
      `${audit.pending} views have no verdict, because a release without view rules counted them`,
      'only the number of views and the available verdicts are compared',
    )
    differences.push(...compareViews(audit, recount))
  } else {
    differences.push(...compareTotals(audit, recount))
    const comparison = { recount, catchUp, extra: audit.direct }
    for (const compareAll of [compareCounts, compareDays, compareAssetDays]) {
      differences.push(...(await compareAll(reporting, comparison)))
    }
  }
  // The first verdicts in a truncated log depend on messages that the log no longer has.
  const minClock = first === 1 ? 0 : (recount.verdicts[0]?.clock ?? 0) + WARM_UP_MS[rules]
  const verdicts = recount.verdicts.filter((verdict) => isInStretch(verdict) && verdict.clock > minClock)
  const { differences: wrong, compared } = await compareVerdicts(reporting, verdicts, catchUp)
  return { differences: [...differences, ...wrong], notes, recount, compared }
}

function isWhole({ from, to }: Stretch): boolean {
  return from === WHOLE_LOG.from && to === WHOLE_LOG.to
}

/** Returns the version of the view rules that produced the newest verdict in reporting. */
async function findRules(reporting: ReportingReader, verdicts: readonly Verdict[]): Promise<Rules> {
  for (const { id } of verdicts.slice(-MAX_TRIED).toReversed()) {
    const rules = (await reporting.explain(id))?.rule
    if (rules === 'v1' || rules === 'v2') return rules
    if (rules) throw new AuditError(`the audit does not support the view rules ${rules}`)
  }
  return 'v1'
}
