import type { Position } from '../contracts/position.ts'
import { MAX_VIEWS_PER_BATCH, type View } from '../contracts/view.ts'
import type { TraceContext } from '../tracing/trace-context.ts'
import type { LogBatch } from './event-log.ts'
import type { DecodedViews } from './view-events.ts'

/** What a batch may hold in bytes of messages. A view is shorter in `POST /events` than in the log, so 3 MiB stay below its 4 MiB. */
const MAX_BATCH_BYTES = 3 * 1024 * 1024

/** Gathers messages of the log into batches that one `POST /events` can carry. */
export function createBatchBuilder(from: Position) {
  let after = from.sequence
  let through = after
  let views: View[] = []
  let traces: TraceContext[] = []
  let bytes = 0
  let rejected = 0

  return {
    /** Whether a message of this size still goes into the batch; an empty batch takes any. */
    hasRoom: (size: number, count: number) =>
      through === after || (bytes + size <= MAX_BATCH_BYTES && views.length + count <= MAX_VIEWS_PER_BATCH),
    add(sequence: number, size: number, found: DecodedViews | undefined) {
      through = sequence
      bytes += size
      if (!found) rejected += 1
      else {
        views.push(...found.views)
        traces.push(...found.traces)
      }
    },
    isEmpty: () => through === after,
    /** The batch so far; the builder then starts the next one. */
    take(pending: number): LogBatch {
      const batch = { stream: from.stream, after, through, views, traces, rejected, pending }
      after = through
      views = []
      traces = []
      bytes = 0
      rejected = 0
      return batch
    },
  }
}
