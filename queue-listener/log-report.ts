import { UpstreamError } from '../shared/client/service-client.ts'
import type { LogPosition } from '../shared/contracts/position.ts'
import type { EventLog } from '../shared/event-log/event-log.ts'
import { missingAfter } from '../shared/event-log/extent.ts'
import { raceAbort } from '../shared/runtime/race-abort.ts'
import { sleep } from '../shared/runtime/sleep.ts'
import type { TransitionLog } from '../shared/runtime/transition-log.ts'
import type { ReportingClient } from './reporting-client.ts'

/** How often to report the end of the log, and to check that reporting still has its counts. */
const REPORT_MS = 500
/** Shorter than REPORT_MS, so that reporting serves its counts soon after it starts. */
const REPORT_RETRY_MS = 100

type Deps = {
  eventLog: Pick<EventLog, 'extent' | 'backlog'>
  reporting: Pick<ReportingClient, 'position' | 'report'>
  /** Called after each report that reporting has accepted. */
  onReported?: () => void
}

type PeriodicDeps = Deps & {
  /** Called with the outcome of each report, except the first of consecutive failures: its retry may succeed. */
  logOutcome: TransitionLog
  checkMs?: number
}

/**
 * Reports the end of the log, because reporting serves its counts only while it can tell that they are current.
 * Without traffic, no batch is rejected, so only a report reveals that reporting was restarted and needs a replay.
 */
export async function reportUntilBehind(
  { logOutcome, checkMs = REPORT_MS, ...deps }: PeriodicDeps,
  knownPosition: () => LogPosition | undefined,
  signal: AbortSignal,
): Promise<void> {
  let hasFailed = false
  while (!signal.aborted) {
    const expected = knownPosition()
    try {
      const position = await reportEnd(deps, expected, signal)
      logOutcome()
      hasFailed = false
      if (expected && isBefore(position, expected)) return
      await sleep(checkMs, signal)
    } catch (error) {
      if (signal.aborted) return
      if (hasFailed) logOutcome(error)
      hasFailed = true
      await sleep(isRefused(error) ? checkMs : REPORT_RETRY_MS, signal)
    }
  }
}

/** Returns true if retrying soon is pointless: a report with a wrong token, for example, would be refused again. */
function isRefused(error: unknown): boolean {
  const { status = 0 } = error instanceof UpstreamError ? error : {}
  return status >= 400 && status < 500
}

/**
 * Reports the end of the log, and returns reporting's position. A standby may report too: it sends the position that it
 * read last, and reporting compares that with its own. If the log ends before the position or starts after it, nothing
 * is reported, because the report would make the counts seem current.
 */
export async function reportEnd(
  { eventLog, reporting, onReported }: Deps,
  knownPosition: LogPosition | undefined,
  signal: AbortSignal,
): Promise<LogPosition | undefined> {
  const extent = await raceAbort(eventLog.extent(), signal)
  const { incarnation, last } = extent
  const counted = knownPosition && knownPosition.incarnation === incarnation ? knownPosition.sequence : 0
  if (counted > last || missingAfter(knownPosition, extent)) return reporting.position(signal)
  const { messages, since: oldest } = await raceAbort(eventLog.backlog(knownPosition), signal)
  // Without a backlog, no views follow the position. Ignore later messages, such as copies of dead letters.
  const sequence = messages > 0 ? last : counted
  const position = await reporting.report({ end: { incarnation, sequence }, counted, oldest }, signal)
  onReported?.()
  return position
}

function isBefore(position: LogPosition | undefined, end: LogPosition): boolean {
  return position?.incarnation !== end.incarnation || position.sequence < end.sequence
}
