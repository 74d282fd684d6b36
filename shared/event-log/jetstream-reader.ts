import { addAbortListener } from 'node:events'
import type { JsMsg } from 'nats'
import type { LogPosition } from '../contracts/position.ts'
import { isConsumerGone, openJetStreamManager } from '../nats/jetstream.ts'
import { NatsDownError, type NatsLink } from '../nats/link.ts'
import { raceAbort } from '../runtime/race-abort.ts'
import { toReason } from '../runtime/reason.ts'
import { type BatchStart, createBatchBuilder } from './batch-builder.ts'
import type { DeadLetterIndex } from './dead-letter-index.ts'
import type { DeadLetterWriter } from './dead-letters.ts'
import { type EventLog, type LogBatch, LogRolledBackError, ReadInterruptedError } from './event-log.ts'
import { assertReachesBack, type LogExtent } from './extent.ts'
import { createConsumer, findEnd } from './jetstream-consumer.ts'
import type { LogHealth } from './log-health.ts'
import { isDeletion } from './resolution.ts'
import { skipped } from './skipped-views.ts'
import { ensureStream, producerOf, type StreamOptions, storedAt, VIEWS } from './stream.ts'
import { extentOf } from './stream-status.ts'
import { type DecodedViews, decodeViews } from './view-events.ts'

/** Messages per pull. */
const FETCH_MESSAGES = 256
/** Bounds how long a deleted stream goes undetected, because pulls from a deleted consumer get no response. */
const FETCH_EXPIRES_MS = 2_000
const IDLE_MS = 60_000
const CLOSE_TIMEOUT_MS = 200

/**
 * The age at which a batch that contains all received messages no longer waits for pending ones. If messages are stored
 * while nats-server 2.9 creates a consumer, it overstates the number of messages pending for that consumer. Without
 * this limit, a batch could grow until no views arrive for FETCH_EXPIRES_MS.
 */
const MAX_HOLD_MS = 100

type Deps = {
  nats: NatsLink
  options: StreamOptions
  index: DeadLetterIndex
  health: Pick<LogHealth, 'observeRead' | 'noteRead'>
  openWriter: () => DeadLetterWriter
  readExtent: () => Promise<LogExtent>
}

/** Implements EventLog's `read`. */
export function createJetStreamReader({
  nats,
  options,
  index,
  health,
  openWriter,
  readExtent,
}: Deps): EventLog['read'] {
  async function openReader(after: LogPosition | undefined) {
    const jsm = await openJetStreamManager(nats)
    const stream = await ensureStream(jsm, options)
    const extent = extentOf(stream)
    const start = toStart(after, extent)
    const consumer = await createConsumer(nats, jsm, { subject: VIEWS, from: start.after + 1, idleMs: IDLE_MS })
    await index.refresh()
    await index.cleanUp()
    return { start, extent, consumer, deadLetters: openWriter() }
  }

  /**
   * When the connection closes, requests in flight fail just before `lost` aborts, so this also checks the link's
   * state.
   */
  function toCause(error: unknown, lost: AbortSignal): unknown {
    return lost.aborted || nats.state() === 'down' ? new NatsDownError() : error
  }

  return async function* read(after: LogPosition | undefined, signal: AbortSignal): AsyncGenerator<LogBatch> {
    await nats.up(signal)
    const lost = nats.down()
    const ended = AbortSignal.any([signal, lost])
    const opening = health.observeRead(raceAbort(openReader(after), ended))
    const { start, extent, consumer, deadLetters } = await opening.catch((error) => {
      throw toCause(error, lost)
    })
    const batch = createBatchBuilder(start)
    let delivered = 0
    let pending = 0
    let reached = start.after
    /** When the first message was added to the batch. */
    let startedAt = 0
    /** The sequence before the first gap in the batch. A gap is a range that the consumer did not deliver. */
    let skippedAfter: number | undefined

    /** Stores the batch's dead letters, and verifies that no view expired in the gaps. */
    async function complete(): Promise<void> {
      await deadLetters.flush()
      if (skippedAfter === undefined) return
      assertReachesBack({ incarnation: start.incarnation, sequence: skippedAfter }, await readExtent())
      skippedAfter = undefined
    }
    function advance(sequence: number, isSkipped = sequence > reached + 1): void {
      if (isSkipped) skippedAfter ??= reached
      reached = sequence
    }

    try {
      // Checked here rather than in openReader(), because a failure there marks the log as down.
      assertReachesBack(after, extent)
      while (!ended.aborted) {
        const messages = await consumer.fetch({ max_messages: FETCH_MESSAGES, expires: FETCH_EXPIRES_MS })
        using _ = addAbortListener(ended, () => messages.stop())
        const before = delivered
        for await (const message of messages) {
          delivered += 1
          if (message.info.deliverySequence !== delivered) throw new Error('messages were lost in delivery')
          const received = { sequence: message.seq, size: message.data.length, storedAt: storedAt(message) }
          const decoded = decode(message, received.storedAt, { index, deadLetters })
          if (!batch.hasRoom(message.data.length, decoded.views.length + (decoded.watched?.length ?? 0))) {
            await complete()
            yield batch.take(message.info.pending + 1)
          }
          advance(message.seq)
          if (batch.isEmpty()) startedAt = performance.now()
          batch.add(received, decoded)
          pending = message.info.pending
          const isLastReceived = messages.getPending() <= 1
          const isHeld = pending > 0 && isLastReceived && performance.now() - startedAt > MAX_HOLD_MS
          // nats-server 2.9 corrects the number of pending messages when it returns the consumer's state.
          if (isHeld) void consumer.info().catch(() => undefined)
          if (isLastReceived && (pending === 0 || isHeld)) {
            await complete()
            yield batch.take(pending)
          }
        }
        if (delivered === before && !ended.aborted) {
          const end = await health.observeRead(findEnd(consumer, { delivered, reached, readExtent }))
          advance(end, end > reached)
          batch.skipTo(end)
        }
        health.noteRead()
        if (!batch.isEmpty() && (pending === 0 || delivered === before)) {
          await complete()
          yield batch.take(pending)
        }
      }
    } catch (error) {
      const cause = toCause(error, lost)
      if (isConsumerGone(cause)) throw new ReadInterruptedError('the consumer is gone', { cause })
      throw cause
    } finally {
      await raceAbort(consumer.delete(), nats.down(), AbortSignal.timeout(CLOSE_TIMEOUT_MS)).catch(() => false)
    }
    if (!signal.aborted) throw ended.reason
  }
}

/** @throws LogRolledBackError */
function toStart(after: LogPosition | undefined, extent: LogExtent): BatchStart {
  const { incarnation, first, last } = extent
  if (after?.incarnation !== incarnation) return { incarnation, after: 0, first, leaving: after }
  if (after.sequence <= last) return { incarnation, after: after.sequence, first }
  throw new LogRolledBackError(`the log ends at ${last}, before the position ${after.sequence}`)
}

type Letters = { index: DeadLetterIndex; deadLetters: DeadLetterWriter }

/** A dead letter is skipped even if this release considers it valid, because its replay may be in the log. */
function decode(message: JsMsg, at: string, { index, deadLetters }: Letters): DecodedViews {
  const { seq: sequence, subject, data } = message
  const producer = producerOf(subject)
  if (isDeletion(message)) return { views: [], traces: [] }
  if (index.resolutionOf(sequence)) return skipped(data, producer)
  if (index.copyOf(sequence) !== undefined) return { ...skipped(data, producer), isDeadLetter: true }
  try {
    return decodeViews(data, at, producer)
  } catch (error) {
    deadLetters.add({ sequence, subject, data, reason: toReason(error), headers: () => message.headers })
    return { ...skipped(data, producer), isDeadLetter: true }
  }
}
