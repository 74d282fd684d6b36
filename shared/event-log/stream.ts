import {
  type JetStreamManager,
  type JsMsg,
  millis,
  nanos,
  nuid,
  StorageType,
  type StreamConfig,
  type StreamInfo,
} from 'nats'
import type { LogPosition } from '../contracts/position.ts'
import { hasCode, STREAM_NOT_FOUND, streamNamed } from '../nats/jetstream.ts'
import { assertLed } from '../nats/quorum.ts'
import type { Replication } from '../nats/replication.ts'

/** The log's JetStream stream, and its subjects. */
export const STREAM = 'EVENTS'
/** How human-readable messages refer to the stream. */
export const LOG = 'the stream'
export const VIEWS = 'events.view.>'
export const DEAD_LETTERS = 'events.rejected'

/** The subjects of replayed dead letters, whose views are counted like any others. */
export const REPLAYS = 'events.view.dead-letter.*'

/** The subject of the message that resolves a dead letter. */
export function replaySubject(sequence: number): string {
  return `events.view.dead-letter.${sequence}`
}

/** When the log stored a message (RFC 3339). */
export function storedAt({ info }: JsMsg): string {
  return new Date(millis(info.timestampNanos)).toISOString()
}

export type StreamOptions = {
  /** How long the log keeps a message, in milliseconds. If undefined, an existing stream keeps its setting. */
  maxAgeMs?: number | undefined
  /** If true, an existing stream's retention is updated. Only one service may be the owner. */
  isOwner?: boolean
  /** Creates the stream with its replicas. */
  replication: Pick<Replication, 'create'>
}

/**
 * Creates the stream if it is missing. If an existing stream's retention differs, the owner updates it.
 * @throws NoLeaderError
 */
export async function ensureStream(jsm: JetStreamManager, options: StreamOptions): Promise<StreamInfo> {
  const { maxAgeMs, isOwner, replication } = options
  const limits: Partial<StreamConfig> = maxAgeMs === undefined ? {} : toLimits(maxAgeMs)
  try {
    const stream = assertLed(await jsm.streams.info(STREAM), LOG)
    if (!isOwner || limits.max_age === undefined || stream.config.max_age === limits.max_age) return stream
    await jsm.streams.update(STREAM, limits)
  } catch (error) {
    if (!hasCode(error, STREAM_NOT_FOUND)) throw error
    await replication.create((replicas) => create(jsm, { ...limits, ...replicas }))
  }
  // Read the stream again. The creation time, which identifies a stream without an id, may differ between the response
  // to a change and later responses.
  return assertLed(await jsm.streams.info(STREAM), LOG)
}

async function create(jsm: JetStreamManager, limits: Partial<StreamConfig>): Promise<void> {
  const description = `${INCARNATION}${nuid.next()}`
  try {
    await jsm.streams.add({
      name: STREAM,
      subjects: [VIEWS, DEAD_LETTERS],
      description,
      storage: StorageType.File,
      ...limits,
    })
  } catch (error) {
    // Another process may have created the stream at the same time. The server reports this with various errors.
    const exists = await jsm.streams.info(STREAM).then(
      () => true,
      () => false,
    )
    if (!exists) throw error
  }
}

/**
 * Precedes the incarnation id in the stream's description. The description contains the id because nats-server 2.9 has
 * no stream metadata.
 */
const INCARNATION = 'Views of videos. Incarnation: '

/** The position of the last message. The incarnation of a stream without an id is its creation time. */
export function endOf({ created, config, state }: StreamInfo): LogPosition {
  const { description = '' } = config
  const id = description.startsWith(INCARNATION) ? description.slice(INCARNATION.length) : ''
  return { incarnation: id || created, sequence: state.last_seq }
}

/** The producer that a message's subject belongs to. */
export function producerOf(subject: string): string {
  return subject.slice(VIEWS.length - 1)
}

/**
 * Returns the stream, or undefined if it does not exist. Never creates the stream.
 * @throws NoLeaderError
 */
export async function findStream(jsm: JetStreamManager): Promise<StreamInfo | undefined> {
  // The subject filter makes the response include the number of dead letters.
  const stream = await streamNamed(jsm, STREAM, { subjects_filter: DEAD_LETTERS })
  return stream && assertLed(stream, LOG)
}

/** Limits the deduplication window, because the server rejects one that is longer than the maximum age. */
function toLimits(maxAgeMs: number): Pick<StreamConfig, 'max_age' | 'duplicate_window'> {
  return { max_age: nanos(maxAgeMs), duplicate_window: nanos(Math.min(maxAgeMs, 120_000)) }
}
