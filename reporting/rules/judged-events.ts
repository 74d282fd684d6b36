import { eventCodec } from '../../shared/records/event-codec.ts'
import { createRecordReader, endOfAscii, endOfId, type RecordWriter } from '../../shared/records/record-bytes.ts'
import type { RecordPage } from '../../shared/records/record-page.ts'
import type { RuleEvent } from './view-rule.ts'

const DOUBLE_BYTES = 8

/** An event, and the log's clock when it was judged. */
export type Judged = { event: RuleEvent; clock: number }

/** Events in log order, decoded when they are read. */
export type KnownEvents = Iterable<Judged> & {
  length: number
  /** The encoded events, `size` at a time. The last part may contain fewer. */
  encoded(size: number): Iterable<Uint8Array>
}

/** A page's records. A record is an event as `eventCodec` encodes it, followed by its clock. */
type Records = { bytes: Buffer; starts: Uint32Array }

/** Returns a snapshot of the events in the pages, without the expired ones. */
export function toKnownEvents(pages: readonly RecordPage[], isExpired: (clock: number) => boolean): KnownEvents {
  const known = pages.map(toRecords).flatMap((records) => dropWhile(records, isExpired))
  return {
    length: known.reduce((sum, { starts }) => sum + starts.length, 0),
    encoded: (size) => encode(known, size),
    [Symbol.iterator]: () => decodeAll(known),
  }
}

export function writeJudged(writer: RecordWriter, { event, clock }: Judged): void {
  writer.id(event.id)
  eventCodec.write(writer, event, [])
  writer.double(clock)
}

function toRecords({ writer, starts, count }: RecordPage): Records {
  return { bytes: writer.buffer().subarray(0, writer.length()), starts: starts.subarray(0, count) }
}

function dropWhile({ bytes, starts }: Records, isDropped: (clock: number) => boolean): Records[] {
  const first = starts.findIndex((_, n) => !isDropped(clockOf(bytes, starts[n + 1] ?? bytes.length)))
  return first < 0 ? [] : [{ bytes, starts: starts.subarray(first) }]
}

function* decodeAll(pages: readonly Records[]): Generator<Judged> {
  for (const { bytes, starts } of pages) for (const start of starts) yield decodeJudged(bytes, start)
}

function* encode(pages: readonly Records[], size: number): Generator<Uint8Array> {
  let parts: Buffer[] = []
  let missing = size
  for (const { bytes, starts } of pages) {
    for (let from = 0, to = 0; from < starts.length; from = to) {
      to = Math.min(from + missing, starts.length)
      parts.push(bytes.subarray(starts[from], starts[to] ?? bytes.length))
      missing -= to - from
      if (missing > 0) continue
      yield Buffer.concat(parts)
      parts = []
      missing = size
    }
  }
  if (parts.length > 0) yield Buffer.concat(parts)
}

export function decodeJudged(bytes: Buffer, start: number): Judged {
  const reader = createRecordReader(bytes, start)
  return { event: eventCodec.read(reader, reader.id(), []), clock: reader.double() }
}

/** Returns the offset after the record that starts at `start`. */
export function endOfJudged(bytes: Buffer, start: number): number {
  return endOfAscii(bytes, endOfAscii(bytes, endOfId(bytes, start))) + 2 * DOUBLE_BYTES
}

/** The clock of the record that ends at `end`. */
export function clockOf(bytes: Buffer, end: number): number {
  return bytes.readDoubleLE(end - DOUBLE_BYTES)
}
