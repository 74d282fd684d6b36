import { type JetStreamManager, nanos, StorageType, type StreamConfig, type StreamInfo } from 'nats'
import { hasCode, STREAM_NOT_FOUND } from '../nats/jetstream.ts'

/** The JetStream stream of the log, and its subjects. */
export const STREAM = 'EVENTS'
export const VIEWS = 'events.view.>'
export const DEAD_LETTERS = 'events.rejected'

/** The subjects of replayed dead letters, which are views like any others. */
export const REPLAYS = 'events.view.dead-letter.*'

/** The first message on it decides what happens to a dead letter. */
export function replaySubject(sequence: number): string {
  return `events.view.dead-letter.${sequence}`
}

/** How long the log keeps a message, in milliseconds. If undefined, an existing stream keeps its setting. */
export type Retention = { maxAgeMs?: number | undefined }

/** Creates the stream if it is missing, and updates its retention if that differs. */
export async function ensureStream(jsm: JetStreamManager, { maxAgeMs }: Retention): Promise<StreamInfo> {
  const limits: Partial<StreamConfig> = maxAgeMs === undefined ? {} : toLimits(maxAgeMs)
  try {
    const stream = await jsm.streams.info(STREAM)
    if (limits.max_age === undefined || stream.config.max_age === limits.max_age) return stream
    await jsm.streams.update(STREAM, limits)
  } catch (error) {
    if (!hasCode(error, STREAM_NOT_FOUND)) throw error
    await jsm.streams.add({ name: STREAM, subjects: [VIEWS, DEAD_LETTERS], storage: StorageType.File, ...limits })
  }
  // Later responses may have a different creation time, which identifies the incarnation.
  return jsm.streams.info(STREAM)
}

/** The stream, or undefined if there is none. Never creates it. */
export async function findStream(jsm: JetStreamManager): Promise<StreamInfo | undefined> {
  try {
    // The subject filter makes the response include the number of dead letters.
    return await jsm.streams.info(STREAM, { subjects_filter: DEAD_LETTERS })
  } catch (error) {
    if (hasCode(error, STREAM_NOT_FOUND)) return undefined
    throw error
  }
}

/** The server rejects a deduplication window longer than the maximum age. The log does not use that window. */
function toLimits(maxAgeMs: number): Pick<StreamConfig, 'max_age' | 'duplicate_window'> {
  return { max_age: nanos(maxAgeMs), duplicate_window: nanos(Math.min(maxAgeMs, 120_000)) }
}
