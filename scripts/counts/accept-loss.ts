import { missingAfter } from '../../shared/event-log/extent.ts'
import { plural } from '../plural.ts'
import { findReporting, readLog, readPosition, skipMissing, type Target } from './system.ts'

/**
 * Prints which messages expired before they were counted. If the user confirms the loss, makes counting continue after
 * these messages.
 * @returns the exit status: 1 if messages are missing and the loss was not confirmed
 * @throws CountsError
 */
export async function acceptLoss(target: Target, isConfirmed: boolean): Promise<number> {
  const { origin } = await findReporting(target)
  const log = await readLog(target)
  // Read the position after the log. Otherwise, messages that are counted and then expire between the two reads would
  // look missing.
  const position = await readPosition(origin)
  const missingRange = log && missingAfter(position, log.extent)
  if (!missingRange) {
    process.stdout.write('The log still has all uncounted messages. There is no loss to accept.\n')
    return 0
  }
  const { from, to } = missingRange
  const oldest = log.since ? `stored at ${log.since.toISOString()}` : 'none: the log is empty'
  process.stdout.write(`Missing: ${plural(to - from + 1, 'message')}, sequences ${from} to ${to}\n`)
  process.stdout.write(`Oldest retained message: ${oldest}\n`)
  if (log.maxAgeMs && log.since) {
    process.stdout.write("Messages keep expiring. To lose no more, first raise queue-listener's EVENTS_MAX_AGE.\n")
  }
  if (!isConfirmed) {
    process.stdout.write('Nothing was changed. To continue without these messages, confirm with --yes.\n')
    return 1
  }
  await skipMissing(origin, target.token, { position, extent: log.extent, missing: missingRange })
  process.stdout.write(`Accepted: counting continues after ${to}.\n`)
  return 0
}
