import { type LogPosition, sequenceIn } from '../contracts/position.ts'
import type { View } from '../contracts/view.ts'
import type { FoundEvent, Search } from './event-log.ts'
import type { LogExtent } from './extent.ts'
import { skipped } from './skipped-views.ts'
import { decodeViews } from './view-events.ts'

type SearchRange = { from: number; through: number; isComplete: boolean }

/** The newest retained messages after a position, at most `maxMessages`. */
export function toSearchRange(
  after: LogPosition | undefined,
  { incarnation, first, last }: LogExtent,
  maxMessages: number,
): SearchRange {
  const read = sequenceIn(incarnation, after)
  const from = Math.max(read + 1, first, last - maxMessages + 1)
  return { from, through: last, isComplete: from === read + 1 }
}

/** A message in the log. `producer` is the producer that its subject belongs to. */
type Stored = { sequence: number; data: Uint8Array; storedAt: string; producer?: string }

/**
 * Searches a log's messages for one event. Decodes only messages that may contain the event's id, because a search must
 * not slow down other work in the process.
 */
export function createSearch(id: string, incarnation: string) {
  const bytes = Buffer.from(id)
  let found: FoundEvent | undefined

  /** JSON contains a string verbatim unless it escapes characters with a backslash. */
  function mayContain(data: Uint8Array): boolean {
    const body = Buffer.from(data.buffer, data.byteOffset, data.byteLength)
    return body.includes(bytes) || body.includes('\\')
  }

  /** Returns the view, or null if the event is in a message that is not a valid batch of views. */
  function viewIn({ data, storedAt, producer }: Stored): View | null | undefined {
    try {
      return decodeViews(data, storedAt, producer).views.find((view) => view.id === id)
    } catch {
      return skipped(data).skippedIds?.includes(id) ? null : undefined
    }
  }

  return {
    /** Returns true once a view is found. After a dead letter, the search continues, because a replay may follow. */
    add(message: Stored): boolean {
      const view = mayContain(message.data) ? viewIn(message) : undefined
      if (view === undefined) return false
      found = { position: { incarnation, sequence: message.sequence }, view: view ?? undefined }
      return view !== null
    },
    result: (isComplete: boolean): Search => ({ found, isComplete }),
  }
}
