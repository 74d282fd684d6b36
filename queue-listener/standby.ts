import type { EventLog } from '../shared/event-log/event-log.ts'
import type { Logger } from '../shared/runtime/log.ts'
import { sleep } from '../shared/runtime/sleep.ts'
import { reportEnd } from './log-report.ts'
import type { ReportingClient } from './reporting-client.ts'

/** How often a standby checks whether the active instance makes progress. */
const STANDBY_POLL_MS = 1_000

type Deps = {
  eventLog: Pick<EventLog, 'end' | 'backlog'>
  reporting: Pick<ReportingClient, 'position' | 'report'>
  log: Logger
  standbyMs?: number
}

/**
 * Waits until the position stalls while the log has more. Reports the end of the log meanwhile, because no other instance
 * may be left to do so.
 */
export async function standBy(deps: Deps, signal: AbortSignal): Promise<void> {
  const { eventLog, reporting, log, standbyMs = STANDBY_POLL_MS } = deps
  log.info('another instance is active; standing by')
  let last = await reporting.position(signal)
  while (!signal.aborted) {
    await sleep(standbyMs, signal)
    const position = await reportEnd(deps, last, signal)
    const isStalled = position?.incarnation === last?.incarnation && position?.sequence === last?.sequence
    // Dead letters may follow the last view in the log; they are not part of the backlog.
    if (isStalled && (await eventLog.backlog(position)).messages > 0) {
      return log.info('the active instance has stalled; taking over')
    }
    last = position
  }
}
