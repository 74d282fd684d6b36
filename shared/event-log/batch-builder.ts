import { MAX_VIEWS_PER_BATCH } from '../contracts/view.ts'
import type { LogBatch } from './event-log.ts'
import type { DecodedViews } from './view-events.ts'

/** Maximum total size of the messages in a batch. A batch's JSON is never larger than its messages. */
const MAX_BATCH_BYTES = 3 * 1024 * 1024

/** Maximum number of skipped messages in a batch. */
const MAX_SKIPPED = 1_000

/** A message: its sequence, its size in bytes, and when the log stored it (RFC 3339). */
type Received = { sequence: number; size: number; storedAt: string }

/** Where a batch starts. */
export type BatchStart = Pick<LogBatch, 'incarnation' | 'after' | 'first' | 'leaving'>

/** Collects messages from the log into batches that each fit into one request. An empty batch accepts any message. */
export function createBatchBuilder(start: BatchStart) {
  let bytes = 0
  let batch = emptyBatch(start)

  const isEmpty = () => batch.through === batch.after

  return {
    /** Returns true if a message with `size` bytes and a total of `count` views and reports fits into the batch. */
    hasRoom: (size: number, count: number) =>
      isEmpty() ||
      (bytes + size <= MAX_BATCH_BYTES &&
        batch.views.length + batch.watched.length + count <= MAX_VIEWS_PER_BATCH &&
        batch.skipped.length < MAX_SKIPPED),
    add({ sequence, size, storedAt }: Received, { views, watched = [], traces, ...skipped }: DecodedViews) {
      const { isDeadLetter, rejected, skippedIds } = skipped
      batch.through = sequence
      bytes += size
      if (isDeadLetter) batch.deadLetters += 1
      if (rejected) batch.rejected.push({ ...rejected, sequence })
      if (skippedIds) batch.skipped.push({ sequence, ids: skippedIds })
      if (views.length + watched.length > 0) batch.messages.push({ sequence, views: views.length, at: storedAt })
      // Do not use push(...views): a message may contain more views than a call can have arguments.
      for (const view of views) batch.views.push(view)
      for (const report of watched) batch.watched.push({ ...report, sequence })
      for (const trace of traces) batch.traces.push(trace)
    },
    /** Advances the end of the batch past messages that are not views, such as copies of dead letters. */
    skipTo(sequence: number) {
      batch.through = Math.max(batch.through, sequence)
    },
    isEmpty,
    /** Returns the batch and starts the next one. */
    take(pending: number): LogBatch {
      const taken = { ...batch, pending }
      batch = emptyBatch({ ...start, after: taken.through, leaving: undefined })
      bytes = 0
      return taken
    },
  }
}

/** A batch without messages. */
export function emptyBatch(start: BatchStart): LogBatch {
  const { after } = start
  const nothing = {
    views: [],
    watched: [],
    traces: [],
    messages: [],
    skipped: [],
    deadLetters: 0,
    rejected: [],
    pending: 0,
  }
  return { ...start, through: after, ...nothing }
}

/** Splits a batch in two at a message boundary, as evenly as possible. Returns undefined for a batch of one message. */
export function splitBatch(batch: LogBatch): [LogBatch, LogBatch] | undefined {
  const { messages, views } = batch
  const middle = messages.length >> 1
  const last = messages[middle - 1]
  if (!last) return undefined
  const count = messages.slice(0, middle).reduce((sum, message) => sum + message.views, 0)
  const traces: LogBatch['traces'] = []
  const isInFirst = ({ sequence }: { sequence: number }) => sequence <= last.sequence
  const watched = batch.watched.filter(isInFirst)
  const rejected = batch.rejected.filter(isInFirst)
  const skipped = batch.skipped.filter(isInFirst)
  return [
    {
      ...batch,
      through: last.sequence,
      views: views.slice(0, count),
      watched,
      messages: messages.slice(0, middle),
      traces,
      deadLetters: 0,
      rejected,
      skipped,
      pending: batch.pending + messages.length - middle,
    },
    {
      ...batch,
      after: last.sequence,
      leaving: undefined,
      views: views.slice(count),
      watched: batch.watched.slice(watched.length),
      messages: messages.slice(middle),
      traces,
      rejected: batch.rejected.slice(rejected.length),
      skipped: batch.skipped.slice(skipped.length),
    },
  ]
}
