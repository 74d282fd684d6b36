import { type JetStreamManager, millis, type StreamInfo } from 'nats'
import { type LogPosition, sequenceIn } from '../contracts/position.ts'
import { nextMessage } from '../nats/jetstream.ts'
import type { NatsLink } from '../nats/link.ts'
import { createDeadLetterIndex } from './dead-letter-index.ts'
import type { Backlog } from './event-log.ts'
import type { LogExtent } from './extent.ts'
import { endOf, findStream, STREAM, VIEWS } from './stream.ts'

export type StreamStatus = {
  extent: LogExtent
  messages: number
  bytes: number
  /** When the oldest message was stored. */
  since: Date | undefined
  /** How long messages are kept; undefined: forever. */
  maxAgeMs: number | undefined
  info: StreamInfo
}

/** The stream's state, or undefined if there is none. Read-only. */
export async function readStreamStatus(jsm: JetStreamManager): Promise<StreamStatus | undefined> {
  const stream = await findStream(jsm)
  if (!stream) return undefined
  const { state, config } = stream
  return {
    extent: extentOf(stream),
    messages: state.messages,
    bytes: state.bytes,
    since: state.messages > 0 ? new Date(state.first_ts) : undefined,
    maxAgeMs: config.max_age > 0 ? millis(config.max_age) : undefined,
    info: stream,
  }
}

/** An empty stream's first sequence is meaningless, so this returns one more than the last sequence instead. */
export function extentOf(stream: StreamInfo): LogExtent {
  const { incarnation, sequence: last } = endOf(stream)
  const { messages, first_seq } = stream.state
  return { incarnation, first: messages > 0 ? first_seq : last + 1, last }
}

/** The number of dead letters that are neither replayed nor deleted, and why the last of them was rejected. */
export async function readDeadLetterStatus(nats: Pick<NatsLink, 'connection'>) {
  const index = createDeadLetterIndex(nats)
  await index.refresh()
  const [last] = await index.heads(index.unresolved().slice(-1))
  return { count: index.count(), lastReason: last?.reason }
}

/** Implements EventLog's `backlog`. Must not create the stream, because this runs on every scrape. */
export async function readBacklog(jsm: JetStreamManager, after: LogPosition | undefined): Promise<Backlog> {
  const stream = await findStream(jsm)
  if (!stream) return { messages: 0, since: undefined }
  const read = sequenceIn(endOf(stream).incarnation, after)
  const first = await nextMessage(jsm, STREAM, VIEWS, read + 1)
  return { messages: first ? stream.state.last_seq - first.seq + 1 : 0, since: first?.time }
}
