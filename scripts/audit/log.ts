import type { LogPosition } from '../../shared/contracts/position.ts'
import type { EventLog, LogBatch } from '../../shared/event-log/event-log.ts'
import type { LogEntry } from './recount.ts'

/**
 * Yields the log's entries after a position, in order, up to and including the sequence `through`.
 * @throws the errors that EventLog.read throws
 */
export async function* readEntries(
  eventLog: Pick<EventLog, 'read'>,
  after: LogPosition,
  through: number,
): AsyncGenerator<LogEntry> {
  if (after.sequence >= through) return
  const ended = new AbortController()
  try {
    for await (const batch of eventLog.read(after, ended.signal)) {
      for (const entry of toEntries(batch)) if (entry.sequence <= through) yield entry
      if (batch.through >= through) return
    }
  } finally {
    ended.abort()
  }
}

/** Splits a batch into its messages. */
function toEntries({ messages, views, watched, rejected, skipped }: LogBatch): LogEntry[] {
  let read = 0
  const reports = Map.groupBy(watched, ({ sequence }) => sequence)
  const counted = messages.map(({ sequence, views: count, at }) => {
    const own = views.slice(read, read + count)
    read += count
    const entry = { sequence, at: Date.parse(at), views: own, watched: reports.get(sequence) ?? [] }
    return { ...entry, serials: [], rejected: 0 }
  })
  const letters = skipped.map(({ sequence, ids }) => {
    const serials = rejected.filter((range) => range.sequence === sequence)
    return { sequence, at: 0, views: [], serials, rejected: Math.max(1, ids.length) }
  })
  return [...counted, ...letters].toSorted((a, b) => a.sequence - b.sequence)
}
