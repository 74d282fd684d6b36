import { type JetStreamManager, nanos, StorageType, type StreamConfig, type StreamInfo } from 'nats'
import { hasCode, STREAM_NOT_FOUND } from '../nats/jetstream.ts'

/** The JetStream stream of the log, and the subjects that it keeps. */
export const STREAM = 'EVENTS'
export const VIEWS = 'events.view.>'
export const REJECTED = 'events.rejected'

/** How long the log keeps a message, in milliseconds. Undefined: as the stream is set, which for a new one means for ever. */
export type Retention = { maxAgeMs?: number | undefined }

/** The stream as it is, made if there is none, and with the retention that is asked for. */
export async function ensureStream(jsm: JetStreamManager, { maxAgeMs }: Retention): Promise<StreamInfo> {
  const maxAge: Partial<StreamConfig> = maxAgeMs === undefined ? {} : limitsOf(maxAgeMs)
  try {
    const stream = await jsm.streams.info(STREAM)
    if (maxAge.max_age === undefined || stream.config.max_age === maxAge.max_age) return stream
    await jsm.streams.update(STREAM, maxAge)
  } catch (error) {
    if (!hasCode(error, STREAM_NOT_FOUND)) throw error
    await jsm.streams.add({ name: STREAM, subjects: [VIEWS, REJECTED], storage: StorageType.File, ...maxAge })
  }
  // Asked again, because the time of creation must be the same for everyone who ever asks.
  return jsm.streams.info(STREAM)
}

/** The stream as it is; undefined where there is none, which stays so. */
export async function findStream(jsm: JetStreamManager): Promise<StreamInfo | undefined> {
  try {
    // Asked for by subject, the answer also says how many messages were rejected.
    return await jsm.streams.info(STREAM, { subjects_filter: REJECTED })
  } catch (error) {
    if (hasCode(error, STREAM_NOT_FOUND)) return undefined
    throw error
  }
}

/** The server refuses a de-duplication window, which the log has no use for, that is longer than its messages live. */
function limitsOf(maxAgeMs: number): Pick<StreamConfig, 'max_age' | 'duplicate_window'> {
  return { max_age: nanos(maxAgeMs), duplicate_window: nanos(Math.min(maxAgeMs, 120_000)) }
}
