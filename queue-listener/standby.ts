import type { LogPosition } from '../shared/contracts/position.ts'
import type { EventLog } from '../shared/event-log/event-log.ts'
import { missingAfter } from '../shared/event-log/extent.ts'
import type { Logger } from '../shared/runtime/log.ts'
import { sleep } from '../shared/runtime/sleep.ts'
import { reportEnd } from './log-report.ts'
import type { ReportingClient } from './reporting-client.ts'
import type { StoreCheck } from './store-check.ts'

/** How often a standby checks whether the active instance is making progress. */
const STANDBY_POLL_MS = 1_000

type Deps = {
  eventLog: Pick<EventLog, 'extent' | 'backlog'>
  reporting: Pick<ReportingClient, 'position' | 'report'>
  stores: Pick<StoreCheck, 'assertOneStore'>
  log: Logger
  onReported?: () => void
  standbyMs?: number
}

/**
 * Waits until the position stalls while the log has more views. Meanwhile, reports the end of the log, because this may
 * be the only instance that is left.
 * @throws StoresDifferError
 */
export async function standBy(deps: Deps, signal: AbortSignal): Promise<void> {
  const { eventLog, reporting, stores, log, standbyMs = STANDBY_POLL_MS } = deps
  log.info('another instance is active; standing by')
  let last = await reporting.position(signal)
  while (!signal.aborted) {
    await sleep(standbyMs, signal)
    await stores.assertOneStore()
    const position = await reportEnd(deps, last, signal)
    const isStalled = position?.incarnation === last?.incarnation && position?.sequence === last?.sequence
    if (isStalled && (await hasMore(eventLog, position))) {
      return log.info('the active instance has stalled; taking over')
    }
    last = position
  }
}

/**
 * Returns true if there are views after the position, or if uncounted messages have expired: this instance then takes
 * over to report the loss. Dead letters after the last view are not part of the backlog.
 */
async function hasMore(eventLog: Deps['eventLog'], position: LogPosition | undefined): Promise<boolean> {
  const { messages } = await eventLog.backlog(position)
  return messages > 0 || missingAfter(position, await eventLog.extent()) !== undefined
}
