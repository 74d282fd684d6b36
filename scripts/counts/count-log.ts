import type { CountStore } from '../../reporting/count-store.ts'
import type { LogPosition } from '../../shared/contracts/position.ts'
import type { EventLog, LogBatch } from '../../shared/event-log/event-log.ts'
import { LogTruncatedError } from '../../shared/event-log/extent.ts'
import { CountsError } from './system.ts'

/**
 * Counts the log up to a position, without queue-listener.
 * @throws CountsError if uncounted messages are no longer in the log, or if the log was recreated
 */
export async function countLog(
  eventLog: Pick<EventLog, 'read' | 'extent'>,
  store: Pick<CountStore, 'apply' | 'position'>,
  end: LogPosition | undefined,
): Promise<void> {
  const position = await store.position()
  const isReached = ({ incarnation, sequence }: LogPosition) =>
    end === undefined || (incarnation === end.incarnation && sequence >= end.sequence)
  if (!end || (position && isReached(position))) return
  // Check the incarnation here too, because an empty log has no batch.
  assertIncarnation(end, (await eventLog.extent()).incarnation)
  const ended = new AbortController()
  try {
    for await (const batch of eventLog.read(position, ended.signal)) {
      assertIncarnation(end, batch.incarnation)
      if (!(await store.apply(upTo(batch, end.sequence))))
        throw new CountsError('another process is updating the same counts')
      if (isReached({ incarnation: batch.incarnation, sequence: batch.through })) return
    }
  } catch (error) {
    if (error instanceof LogTruncatedError) throw new CountsError(`cannot recount the log: ${error.message}`)
    throw error
  } finally {
    ended.abort()
  }
}

function assertIncarnation(end: LogPosition, incarnation: string): void {
  if (incarnation === end.incarnation) return
  throw new CountsError(
    `the log was recreated: reporting has counted ${end.incarnation}, but the log is now ${incarnation}. Run the command again once reporting has counted the new log`,
  )
}

/** Returns the part of a batch up to a sequence, so that old and new counts are compared at the same position. */
function upTo(batch: LogBatch, sequence: number): LogBatch {
  if (batch.through <= sequence) return batch
  const isBefore = (message: { sequence: number }) => message.sequence <= sequence
  const messages = batch.messages.filter(isBefore)
  return {
    ...batch,
    through: sequence,
    messages,
    views: batch.views.slice(
      0,
      messages.reduce((sum, { views }) => sum + views, 0),
    ),
    watched: batch.watched.filter(isBefore),
    skipped: batch.skipped.filter(isBefore),
    rejected: batch.rejected.filter(isBefore),
  }
}
