import {
  AckPolicy,
  type Consumer,
  DeliverPolicy,
  ErrorCode,
  headers,
  type JetStreamManager,
  type JsMsg,
  type MsgHdrs,
  millis,
  NatsError,
  nanos,
  nuid,
  type StoredMsg,
} from 'nats'
import type { Position } from '../contracts/position.ts'
import type { View } from '../contracts/view.ts'
import { hasCode, lastMessage, WRONG_LAST_SEQUENCE } from '../nats/jetstream.ts'
import type { NatsLink } from '../nats/link.ts'
import type { Logger } from '../runtime/log.ts'
import { createBatchBuilder } from './batch-builder.ts'
import { type EventLog, LogRolledBackError, type NewView } from './event-log.ts'
import { createRejectedMessages, type RejectedMessages } from './rejected-messages.ts'
import { ensureStream, STREAM, VIEWS } from './stream.ts'
import { BATCH_CONTENT_TYPE, decodeViews, encodeViews } from './view-events.ts'

/** Even with ids of full length, this many views stay below the 1 MiB that a NATS server takes in one message. */
const MAX_VIEWS_PER_MESSAGE = 1_000
/** How many messages may be on their way to a reader. */
const FETCH_MESSAGES = 256
const FETCH_EXPIRES_MS = 5_000
const READER_IDLE_MS = 60_000
const API_TIMEOUT_MS = 2_000

type Deps = {
  nats: NatsLink
  log: Logger
  /** Names the subject to append to, `events.view.<producer>`. No two processes may share one at the same time. */
  producer?: string
}

/**
 * The log as a JetStream stream: file storage, one message per append. Each message is sent with the sequence that
 * its producer expects last on its subject, so that a message whose acknowledgement was lost cannot be stored twice:
 * what the subject ends with tells whether it was stored.
 */
export function createJetStreamEventLog({ nats, log, producer = nuid.next() }: Deps): EventLog {
  const subject = `events.view.${producer}`
  const source = `/play/${producer}`
  /** The sequence of the last message on `subject`; unknown at first and after each failure. */
  let last: number | undefined

  function manager(): Promise<JetStreamManager> {
    return nats.connection().jetstreamManager({ checkAPI: false, timeout: API_TIMEOUT_MS })
  }

  /** Asks how the subject ends, and so which of `views` are stored already. */
  async function settle(views: readonly NewView[]) {
    const jsm = await manager()
    await ensureStream(jsm)
    const stored = await lastMessage(jsm, STREAM, subject)
    const lastStored = stored && lastViewId(stored)
    return { last: stored?.seq ?? 0, rest: views.slice(views.findIndex(({ id }) => id === lastStored) + 1) }
  }

  async function publish(views: readonly NewView[], expected: number): Promise<number> {
    const ack = await nats
      .connection()
      .jetstream()
      .publish(subject, encodeViews(views, source), {
        headers: contentType(),
        expect: { lastSubjectSequence: expected },
      })
    return ack.seq
  }

  return {
    state: nats.state,

    async append(views, signal) {
      const down = nats.down()
      let rest = views
      while (rest.length > 0) {
        if (last === undefined) {
          ;({ last, rest } = await unlessAborted(settle(rest), signal, down))
          continue
        }
        const group = rest.slice(0, MAX_VIEWS_PER_MESSAGE)
        try {
          last = await unlessAborted(publish(group, last), signal, down)
          rest = rest.slice(group.length)
        } catch (error) {
          last = undefined
          if (!isRefused(error)) throw error
        }
      }
    },

    async *read(after, signal) {
      await nats.up(signal)
      const ended = AbortSignal.any([signal, nats.down()])
      const jsm = await manager()
      const stream = await ensureStream(jsm)
      const from = startingPoint(after, { stream: stream.created, sequence: stream.state.last_seq })
      const rejected = createRejectedMessages({ js: nats.connection().jetstream(), jsm, log })
      const consumer = await createReader(nats, jsm, from.sequence + 1)
      const batch = createBatchBuilder(from)
      let delivered = 0
      let pending = 0
      try {
        while (!ended.aborted) {
          const messages = await consumer.fetch({ max_messages: FETCH_MESSAGES, expires: FETCH_EXPIRES_MS })
          const stop = () => messages.stop()
          ended.addEventListener('abort', stop, { once: true })
          for await (const message of messages) {
            delivered += 1
            if (message.info.deliverySequence !== delivered) throw new Error('messages were lost on their way')
            const views = await viewsOf(message, rejected)
            if (!batch.hasRoom(message.data.length, views?.length ?? 0)) yield batch.take(message.info.pending + 1)
            batch.add(message.seq, message.data.length, views)
            pending = message.info.pending
            const isLastArrived = messages.getPending() <= 1
            if (pending === 0 && isLastArrived) yield batch.take(0)
          }
          ended.removeEventListener('abort', stop)
          if (pending === 0 && !batch.isEmpty()) yield batch.take(0)
        }
      } finally {
        if (!nats.down().aborted) await consumer.delete().catch(() => false)
      }
      if (!signal.aborted) throw ended.reason
    },

    async end() {
      const { created, state } = await ensureStream(await manager())
      return { stream: created, sequence: state.last_seq }
    },

    async [Symbol.asyncDispose]() {},
  }
}

/** A consumer of this reader's own: nothing is acknowledged, and it goes when nobody asks it any more. */
async function createReader(nats: NatsLink, jsm: JetStreamManager, startSequence: number): Promise<Consumer> {
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

function startingPoint(after: Position | undefined, end: Position): Position {
  if (after?.stream !== end.stream) return { stream: end.stream, sequence: 0 }
  if (after.sequence <= end.sequence) return after
  throw new LogRolledBackError(`the log ends at ${end.sequence}, before the position ${after.sequence}`)
}

async function viewsOf(message: JsMsg, rejected: RejectedMessages): Promise<View[] | undefined> {
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

function lastViewId(stored: StoredMsg): string | undefined {
  try {
    return decodeViews(stored.string(), stored.timestamp).at(-1)?.id
  } catch {
    return undefined
  }
}

function contentType(): MsgHdrs {
  const all = headers()
  all.set('Content-Type', BATCH_CONTENT_TYPE)
  return all
}

/** The log has surely not stored the message: the subject ends otherwise than expected, or there is no stream. */
function isRefused(error: unknown): boolean {
  return hasCode(error, WRONG_LAST_SEQUENCE) || (error instanceof NatsError && error.code === ErrorCode.NoResponders)
}

async function unlessAborted<T>(work: Promise<T>, ...signals: AbortSignal[]): Promise<T> {
  const aborted = Promise.withResolvers<never>()
  const abort = ({ target }: Event) => aborted.reject((target as AbortSignal).reason)
  for (const signal of signals) {
    if (signal.aborted) aborted.reject(signal.reason)
    signal.addEventListener('abort', abort, { once: true })
  }
  try {
    return await Promise.race([work, aborted.promise])
  } finally {
    for (const signal of signals) signal.removeEventListener('abort', abort)
  }
}
