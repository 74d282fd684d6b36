import { AckPolicy, type Consumer, DeliverPolicy, type JetStreamManager, type JsMsg, millis, nanos } from 'nats'
import type { LogPosition } from '../contracts/position.ts'
import { isConsumerGone, openJetStreamManager } from '../nats/jetstream.ts'
import type { NatsLink } from '../nats/link.ts'
import type { Logger } from '../runtime/log.ts'
import { raceAbort } from '../runtime/race-abort.ts'
import { toReason } from '../runtime/reason.ts'
import { createBatchBuilder } from './batch-builder.ts'
import { createDeadLetters, type DeadLetters, type KnownDeadLetters } from './dead-letters.ts'
import { type EventLog, LogRolledBackError, ReadInterruptedError } from './event-log.ts'
import { createJetStreamProducer } from './jetstream-producer.ts'
import { createLogHealth } from './log-health.ts'
import { ensureStream, type Retention, STREAM, VIEWS } from './stream.ts'
import { readBacklog } from './stream-status.ts'
import { type DecodedViews, decodeViews } from './view-events.ts'

/** Messages per pull. */
const FETCH_MESSAGES = 256
/** Bounds how long a deleted stream goes unnoticed, because pulls from a deleted consumer get no response. */
const FETCH_EXPIRES_MS = 2_000
const CONSUMER_IDLE_MS = 60_000
const CLOSE_TIMEOUT_MS = 200
/** Of a server that does not say. */
const DEFAULT_MAX_PAYLOAD = 1024 * 1024

type Deps = Retention & { nats: NatsLink; log: Logger }

/** The log as a JetStream stream in file storage. */
export function createJetStreamEventLog({ nats, log, ...retention }: Deps): EventLog {
  const health = createLogHealth(nats)
  let known: KnownDeadLetters = { incarnation: '', upTo: 0, originals: new Set() }

  function openDeadLetters(jsm: JetStreamManager, incarnation: string): DeadLetters {
    if (known.incarnation !== incarnation) known = { incarnation, upTo: 0, originals: new Set() }
    const connection = nats.connection()
    const maxPayload = connection.info?.max_payload ?? DEFAULT_MAX_PAYLOAD
    return createDeadLetters({ js: connection.jetstream(), jsm, maxPayload, known, log })
  }

  async function openReader(after: LogPosition | undefined) {
    const jsm = await openJetStreamManager(nats)
    const { created, state } = await ensureStream(jsm, retention)
    const from = startingPosition(after, { incarnation: created, sequence: state.last_seq })
    const consumer = await createConsumer(nats, jsm, from.sequence + 1)
    return { from, consumer, deadLetters: openDeadLetters(jsm, created) }
  }

  return {
    name: 'nats',
    state: health.state,
    reason: health.reason,
    producer(source, id) {
      const producer = createJetStreamProducer({ nats, retention, source, id })
      return { id: producer.id, append: (views, signal) => health.observe(producer.append(views, signal)) }
    },
    async *read(after, signal) {
      await nats.up(signal)
      const lost = nats.down()
      const ended = AbortSignal.any([signal, lost])
      const { from, consumer, deadLetters } = await health.observe(raceAbort(openReader(after), ended))
      const batch = createBatchBuilder(from)
      let delivered = 0
      let pending = 0
      try {
        while (!ended.aborted) {
          const messages = await consumer.fetch({ max_messages: FETCH_MESSAGES, expires: FETCH_EXPIRES_MS })
          const stop = () => messages.stop()
          ended.addEventListener('abort', stop, { once: true })
          if (ended.aborted) stop()
          const before = delivered
          for await (const message of messages) {
            delivered += 1
            if (message.info.deliverySequence !== delivered) throw new Error('messages were lost in delivery')
            const decoded = decode(message, deadLetters)
            if (!batch.hasRoom(message.data.length, decoded?.views.length ?? 0)) {
              await deadLetters.flush()
              yield batch.take(message.info.pending + 1)
            }
            batch.add(message.seq, message.data.length, decoded)
            pending = message.info.pending
            const isLastReceived = messages.getPending() <= 1
            if (pending === 0 && isLastReceived) {
              await deadLetters.flush()
              yield batch.take(0)
            }
          }
          ended.removeEventListener('abort', stop)
          if (delivered === before && !ended.aborted) await health.observe(assertNoneLost(consumer, delivered))
          health.note()
          if (!batch.isEmpty() && (pending === 0 || delivered === before)) {
            await deadLetters.flush()
            yield batch.take(pending)
          }
        }
      } catch (cause) {
        if (lost.aborted) throw lost.reason
        if (isConsumerGone(cause)) throw new ReadInterruptedError('the consumer is gone', { cause })
        throw cause
      } finally {
        await raceAbort(consumer.delete(), nats.down(), AbortSignal.timeout(CLOSE_TIMEOUT_MS)).catch(() => false)
      }
      if (!signal.aborted) throw ended.reason
    },
    async reject(sequence, reason) {
      const jsm = await openJetStreamManager(nats)
      const { created } = await ensureStream(jsm, retention)
      const message = await jsm.streams.getMessage(STREAM, { seq: sequence })
      const deadLetters = openDeadLetters(jsm, created)
      const { subject, data } = message
      deadLetters.add({ sequence, subject, data, reason, headers: () => message.header })
      await deadLetters.flush()
    },
    async end() {
      const { created, state } = await ensureStream(await openJetStreamManager(nats), retention)
      return { incarnation: created, sequence: state.last_seq }
    },
    async backlog(after) {
      return readBacklog(await openJetStreamManager(nats), after)
    },
    [Symbol.asyncDispose]: () => health[Symbol.asyncDispose](),
  }
}

function startingPosition(after: LogPosition | undefined, end: LogPosition): LogPosition {
  if (after?.incarnation !== end.incarnation) return { incarnation: end.incarnation, sequence: 0 }
  if (after.sequence <= end.sequence) return after
  throw new LogRolledBackError(`the log ends at ${end.sequence}, before the position ${after.sequence}`)
}

/** An ephemeral consumer without acknowledgements. The server removes it once it is idle. */
async function createConsumer(nats: NatsLink, jsm: JetStreamManager, startSequence: number): Promise<Consumer> {
  const { name } = await jsm.consumers.add(STREAM, {
    deliver_policy: DeliverPolicy.StartSequence,
    opt_start_seq: startSequence,
    filter_subject: VIEWS,
    ack_policy: AckPolicy.None,
    inactive_threshold: nanos(CONSUMER_IDLE_MS),
    mem_storage: true,
    num_replicas: 1,
  })
  return nats.connection().jetstream().consumers.get(STREAM, name)
}

/**
 * Without acknowledgements, messages that the server sent to an abandoned pull are never redelivered. The next message
 * reveals the gap; if there is none, only the server's delivery count does.
 */
async function assertNoneLost(consumer: Consumer, delivered: number): Promise<void> {
  const info = await consumer.info()
  if (info.delivered.consumer_seq !== delivered) throw new Error('messages were lost in delivery')
}

function decode(message: JsMsg, deadLetters: DeadLetters): DecodedViews | undefined {
  const { seq: sequence, subject, data } = message
  try {
    return decodeViews(data, storedAt(message))
  } catch (error) {
    deadLetters.add({ sequence, subject, data, reason: toReason(error), headers: () => message.headers })
    return undefined
  }
}

function storedAt({ info }: JsMsg): string {
  return new Date(millis(info.timestampNanos)).toISOString()
}
