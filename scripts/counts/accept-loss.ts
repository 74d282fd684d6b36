import { missingAfter } from '../../shared/event-log/extent.ts'
import { plural } from '../plural.ts'
import { findReporting, readLog, readPosition, skipMissing, type Target } from './system.ts'

/**
 * Prints which messages expired before they were counted. If the loss is confirmed, counting continues after these
 * messages.
 * @returns the exit status: 1 if messages are missing and the loss was not confirmed
 * @throws CountsError
 */
export async function acceptLoss(target: Target, isConfirmed: boolean): Promise<number> {
  const { origin } = await findReporting(target)
  const log = await readLog(target)
  // Read after the log: with an older position, messages that were counted before they expired would look missing.
  const position = await readPosition(origin)
  const missingRange = log && missingAfter(position, log.extent)
  if (!missingRange) {
    process.stdout.write('The log has every message that is not counted yet. There is no loss to accept.\n')
    return 0
  }
  const { from, to } = missingRange
  const oldest = log.since ? `stored at ${log.since.toISOString()}` : 'none: the log is empty'
  process.stdout.write(`Missing: ${plural(to - from + 1, 'message')}, sequences ${from} to ${to}\n`)
  process.stdout.write(`Oldest retained message: ${oldest}\n`)
  if (log.maxAgeMs && log.since) {
    process.stdout.write('Messages keep expiring: first raise EVENTS_MAX_AGE of queue-listener, or more are lost.\n')
  }
  if (!isConfirmed) {
    process.stdout.write('Nothing was changed. The views in these messages will never be counted: confirm with --yes\n')
    return 1
  }
  await skipMissing(origin, target.token, { position, extent: log.extent, missing: missingRange })
  process.stdout.write(`Accepted: counting continues after ${to}.\n`)
  return 0
}
