import type { RecordCodec } from './recent-records.ts'
import type { RecordReader, RecordWriter } from './record-bytes.ts'

/** The part of a view that a record keeps. `at` is in milliseconds since the Unix epoch. */
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
