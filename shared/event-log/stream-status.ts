import { type JetStreamManager, millis } from 'nats'
import type { Position } from '../contracts/position.ts'
import { lastMessage, nextMessage } from '../nats/jetstream.ts'
import type { Backlog } from './event-log.ts'
import { REASON } from './rejected-messages.ts'
import { findStream, REJECTED, STREAM, VIEWS } from './stream.ts'

/** What there is of the log in its stream. */
export type StreamStatus = {
  end: Position
  messages: number
  bytes: number
  /** When the first message that is kept was stored. */
  since: Date | undefined
  /** How long messages are kept; undefined: for ever. */
  maxAgeMs: number | undefined
  rejected: { count: number; lastReason: string | undefined }
}

/** Looks at the stream, and leaves it as it is; undefined where there is none. */
export async function streamStatus(jsm: JetStreamManager): Promise<StreamStatus | undefined> {
  const stream = await findStream(jsm)
  if (!stream) return undefined
  const { created, state, config } = stream
  const count = state.subjects?.[REJECTED] ?? 0
  const last = count > 0 ? await lastMessage(jsm, STREAM, REJECTED) : undefined
  return {
    end: { stream: created, sequence: state.last_seq },
    messages: state.messages,
    bytes: state.bytes,
    since: state.messages > 0 ? new Date(state.first_ts) : undefined,
    maxAgeMs: config.max_age > 0 ? millis(config.max_age) : undefined,
    rejected: { count, lastReason: last?.header.get(REASON) },
  }
}

/** As EventLog's `backlog`. A look at the log, with each scrape of the metrics say, must not make one. */
export async function streamBacklog(jsm: JetStreamManager, after: Position | undefined): Promise<Backlog> {
  const stream = await findStream(jsm)
  if (!stream) return { messages: 0, since: undefined }
  const read = after?.stream === stream.created ? after.sequence : 0
  const first = await nextMessage(jsm, STREAM, VIEWS, read + 1)
  return { messages: first ? stream.state.last_seq - first.seq + 1 : 0, since: first?.time }
}
