import type { LogPosition } from '../contracts/position.ts'
import { MAX_VIEWS_PER_BATCH } from '../contracts/view.ts'
import type { LogBatch } from './event-log.ts'
import type { DecodedViews } from './view-events.ts'

/** Maximum size of a batch's messages. The JSON of a batch is never larger than its messages. */
const MAX_BATCH_BYTES = 3 * 1024 * 1024

/** Collects messages of the log into batches that fit one request. A single message of any size makes a batch. */
export function createBatchBuilder(from: LogPosition) {
  let bytes = 0
  let batch = emptyBatch(from.sequence)

  function emptyBatch(after: number): LogBatch {
    const { incarnation } = from
    return { incarnation, after, through: after, views: [], traces: [], messages: [], deadLetters: 0, pending: 0 }
  }

  const isEmpty = () => batch.through === batch.after

  return {
    /** Whether a message with this many bytes and views fits into the batch. An empty batch accepts any message. */
    hasRoom: (size: number, count: number) =>
      isEmpty() || (bytes + size <= MAX_BATCH_BYTES && batch.views.length + count <= MAX_VIEWS_PER_BATCH),
    /** @param decoded undefined for a dead letter */
    add(sequence: number, size: number, decoded: DecodedViews | undefined) {
      batch.through = sequence
      bytes += size
      if (!decoded) {
        batch.deadLetters += 1
        return
      }
      batch.messages.push({ sequence, views: decoded.views.length })
      // Not push(...): a message may have more views than a call may have arguments.
      for (const view of decoded.views) batch.views.push(view)
      for (const trace of decoded.traces) batch.traces.push(trace)
    },
    isEmpty,
    /** Returns the batch and starts the next one. */
    take(pending: number): LogBatch {
      const taken = { ...batch, pending }
      batch = emptyBatch(taken.through)
      bytes = 0
      return taken
    },
  }
}

/** Splits a batch in two at a message boundary, as evenly as possible. Undefined for a batch of one message. */
export function splitBatch(batch: LogBatch): [LogBatch, LogBatch] | undefined {
  const { messages, views } = batch
  const middle = messages.length >> 1
  const last = messages[middle - 1]
  if (!last) return undefined
  const count = messages.slice(0, middle).reduce((sum, message) => sum + message.views, 0)
  const traces: LogBatch['traces'] = []
  return [
    {
      ...batch,
      through: last.sequence,
      views: views.slice(0, count),
      messages: messages.slice(0, middle),
      traces,
      deadLetters: 0,
      pending: batch.pending + messages.length - middle,
    },
    { ...batch, after: last.sequence, views: views.slice(count), messages: messages.slice(middle), traces },
  ]
}
