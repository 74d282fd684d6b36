import { AckPolicy, type Consumer, DeliverPolicy, type JetStreamManager, type JsMsg, millis, nanos } from 'nats'
import type { Position } from '../contracts/position.ts'
import { jetStreamManager } from '../nats/jetstream.ts'
import type { NatsLink } from '../nats/link.ts'
import type { Logger } from '../runtime/log.ts'
import { unlessAborted } from '../runtime/unless-aborted.ts'
import { createBatchBuilder } from './batch-builder.ts'
import { type EventLog, LogRolledBackError } from './event-log.ts'
import { createJetStreamProducer } from './jetstream-producer.ts'
import { createRejectedMessages, type RejectedMessages } from './rejected-messages.ts'
import { ensureStream, type Retention, STREAM, VIEWS } from './stream.ts'
import { streamBacklog } from './stream-status.ts'
import { type DecodedViews, decodeViews } from './view-events.ts'

/** How many messages may be on their way to a reader. */
const FETCH_MESSAGES = 256
/** A pull that a deleted consumer never answers is noticed after this: nobody says that the stream is gone. */
const FETCH_EXPIRES_MS = 2_000
const READER_IDLE_MS = 60_000

type Deps = Retention & { nats: NatsLink; log: Logger }

/** The log as a JetStream stream in file storage. */
export function createJetStreamEventLog({ nats, log, ...retention }: Deps): EventLog {
  async function openReader(after: Position | undefined) {
    const jsm = await jetStreamManager(nats)
    const { created, state } = await ensureStream(jsm, retention)
    const from = startingPoint(after, { stream: created, sequence: state.last_seq })
    const consumer = await createConsumer(nats, jsm, from.sequence + 1)
    const rejected = createRejectedMessages({ js: nats.connection().jetstream(), jsm, log })
    return { from, consumer, rejected }
  }

  return {
    state: nats.state,
    producer: (id) => createJetStreamProducer({ nats, retention, id }),

    async *read(after, signal) {
      await nats.up(signal)
      const ended = AbortSignal.any([signal, nats.down()])
      const { from, consumer, rejected } = await unlessAborted(openReader(after), ended)
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
            if (message.info.deliverySequence !== delivered) throw new Error('messages were lost on their way')
            const found = await viewsOf(message, rejected)
            if (!batch.hasRoom(message.data.length, found?.views.length ?? 0))
              yield batch.take(message.info.pending + 1)
            batch.add(message.seq, message.data.length, found)
            pending = message.info.pending
            const isLastArrived = messages.getPending() <= 1
            if (pending === 0 && isLastArrived) yield batch.take(0)
          }
          ended.removeEventListener('abort', stop)
          if (delivered === before && !ended.aborted) await expectNothingLost(consumer, delivered)
          if (!batch.isEmpty() && (pending === 0 || delivered === before)) yield batch.take(pending)
        }
      } finally {
        if (!nats.down().aborted) await consumer.delete().catch(() => false)
      }
      if (!signal.aborted) throw ended.reason
    },

    async end() {
      const { created, state } = await ensureStream(await jetStreamManager(nats), retention)
      return { stream: created, sequence: state.last_seq }
    },

    async backlog(after) {
      return streamBacklog(await jetStreamManager(nats), after)
    },

    async [Symbol.asyncDispose]() {},
  }
}

/** A consumer of this reader's own: nothing is acknowledged, and it goes when nobody asks it any more. */
async function createConsumer(nats: NatsLink, jsm: JetStreamManager, startSequence: number): Promise<Consumer> {
  const { name } = await jsm.consumers.add(STREAM, {
    deliver_policy: DeliverPolicy.StartSequence,
    opt_start_seq: startSequence,
    filter_subject: VIEWS,
    ack_policy: AckPolicy.None,
    inactive_threshold: nanos(READER_IDLE_MS),
    mem_storage: true,
    num_replicas: 1,
  })
  return nats.connection().jetstream().consumers.get(STREAM, name)
}

/**
 * Messages that the server sent to a pull that nobody reads any more count as delivered and never come again. The next
 * one to arrive shows the gap; where none comes, only asking does.
 */
async function expectNothingLost(consumer: Consumer, delivered: number): Promise<void> {
  const info = await consumer.info()
  if (info.delivered.consumer_seq !== delivered) throw new Error('messages were lost on their way')
}

function startingPoint(after: Position | undefined, end: Position): Position {
  if (after?.stream !== end.stream) return { stream: end.stream, sequence: 0 }
  if (after.sequence <= end.sequence) return after
  throw new LogRolledBackError(`the log ends at ${end.sequence}, before the position ${after.sequence}`)
}

async function viewsOf(message: JsMsg, rejected: RejectedMessages): Promise<DecodedViews | undefined> {
  try {
    return decodeViews(message.string(), storedAt(message))
  } catch (error) {
    await rejected.keep(message, (error as Error).message)
    return undefined
  }
}

function storedAt({ info }: JsMsg): string {
  return new Date(millis(info.timestampNanos)).toISOString()
}
