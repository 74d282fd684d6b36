import type { LogPosition } from '../contracts/position.ts'
import { MAX_VIEWS_PER_BATCH, type View } from '../contracts/view.ts'
import type { TraceContext } from '../tracing/trace-context.ts'
import type { LogBatch } from './event-log.ts'
import type { DecodedViews } from './view-events.ts'

/**
 * Maximum size of a batch's messages. The JSON of a batch is smaller than its messages, so 3 MiB fits into the 4 MiB
 * body limit.
 */
const MAX_BATCH_BYTES = 3 * 1024 * 1024

/** Collects messages from the log into batches that fit into one request. */
export function createBatchBuilder(from: LogPosition) {
  let after = from.sequence
  let through = after
  let views: View[] = []
  let traces: TraceContext[] = []
  let bytes = 0
  let deadLetters = 0
  return {
    /** Whether a message with this many bytes and views fits into the batch. An empty batch accepts any message. */
    hasRoom: (size: number, count: number) =>
      through === after || (bytes + size <= MAX_BATCH_BYTES && views.length + count <= MAX_VIEWS_PER_BATCH),
    /** @param decoded undefined for a dead letter */
    add(sequence: number, size: number, decoded: DecodedViews | undefined) {
      through = sequence
      bytes += size
      if (!decoded) deadLetters += 1
      else {
        views.push(...decoded.views)
        traces.push(...decoded.traces)
      }
    },
    isEmpty: () => through === after,
    /** Returns the batch and starts the next one. */
    take(pending: number): LogBatch {
      const batch = { incarnation: from.incarnation, after, through, views, traces, deadLetters, pending }
      after = through
      views = []
      traces = []
      bytes = 0
      deadLetters = 0
      return batch
    },
  }
}
