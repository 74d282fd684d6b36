import type { RecordCodec } from './recent-records.ts'
import type { RecordReader, RecordWriter } from './record-bytes.ts'

/** A view as far as records keep it. `at` is in milliseconds since 1970. */
export type RecordedEvent = { id: string; assetId: string; userId: string; at: number }

export const eventCodec: RecordCodec<RecordedEvent> = {
  write: writePlay,
  read: (reader, id) => ({ id, ...readPlay(reader) }),
}

export function writePlay(writer: RecordWriter, { assetId, userId, at }: Omit<RecordedEvent, 'id'>): void {
  writer.ascii(assetId)
  writer.ascii(userId)
  writer.double(at)
}

export function readPlay(reader: RecordReader): Omit<RecordedEvent, 'id'> {
  return { assetId: reader.ascii(), userId: reader.ascii(), at: reader.double() }
}
