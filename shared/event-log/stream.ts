import { type JetStreamManager, StorageType, type StreamInfo } from 'nats'
import { hasCode, STREAM_NOT_FOUND } from '../nats/jetstream.ts'

/** The JetStream stream of the log, and the subjects that it keeps. */
export const STREAM = 'EVENTS'
export const VIEWS = 'events.view.>'
export const REJECTED = 'events.rejected'

/** The stream as it is, made if there is none. */
export async function ensureStream(jsm: JetStreamManager): Promise<StreamInfo> {
  try {
    return await jsm.streams.info(STREAM)
  } catch (error) {
    if (!hasCode(error, STREAM_NOT_FOUND)) throw error
    return jsm.streams.add({ name: STREAM, subjects: [VIEWS, REJECTED], storage: StorageType.File })
  }
}
