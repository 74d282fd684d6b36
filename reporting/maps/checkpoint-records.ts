import { eventCodec } from '../../shared/records/event-codec.ts'
import { createRecordReader } from '../../shared/records/record-bytes.ts'
import { type FrozenPage, PAGE_RECORDS } from '../../shared/records/record-page.ts'
import type { Judged, KnownEvents } from '../rules/judge.ts'
import type { ByteReader } from './byte-reader.ts'
import { readBlock, readJson } from './checkpoint-blocks.ts'
import { encodeBlock, encodeJson, encodeSize } from './checkpoint-chunks.ts'
import { CorruptCheckpointError, PageEntry } from './checkpoint-format.ts'

/** The number of events in a block. Only the last block may have fewer events. */
const BLOCK_EVENTS = 1_024
const START_BYTES = 4

export function* encodeJudged(events: Pick<KnownEvents, 'encoded'>): Generator<Uint8Array> {
  let block: Uint8Array[] = []
  for (const event of events.encoded()) {
    block.push(event)
    if (block.length < BLOCK_EVENTS) continue
    yield encodeBlock(Buffer.concat(block))
    block = []
  }
  if (block.length > 0) yield encodeBlock(Buffer.concat(block))
}

/** Decodes the events of a block. */
export type JudgedBlock = () => Iterable<Judged>

/** Reads `count` events, to be decoded once the checksum has been verified. */
export async function readJudged(reader: ByteReader, count: number): Promise<JudgedBlock[]> {
  const blocks: JudgedBlock[] = []
  for (let n = 0; n < count; n += BLOCK_EVENTS) {
    const block = await readBlock(reader)
    blocks.push(() => decodeJudged(block, Math.min(BLOCK_EVENTS, count - n)))
  }
  return blocks
}

function* decodeJudged(block: Buffer, count: number): Generator<Judged> {
  const reader = createRecordReader(block)
  for (let n = 0; n < count; n += 1) {
    yield { event: eventCodec.read(reader, reader.id(), []), clock: reader.double() }
  }
}

/** Yields the records of each page without copying them. Copies would create hundreds of megabytes of garbage. */
export function* encodePages(pages: readonly FrozenPage[]): Generator<Uint8Array> {
  const encoded = Buffer.allocUnsafe(PAGE_RECORDS * START_BYTES)
  for (const { page, bytes, starts, names } of pages) {
    for (const [n, start] of starts.entries()) encoded.writeUInt32LE(start, n * START_BYTES)
    const startBytes = encoded.subarray(0, starts.length * START_BYTES)
    yield Buffer.concat([encodeJson({ page, names }), encodeBlock(startBytes), encodeSize(bytes.length)])
    yield bytes
  }
}

/** Reads pages, to be restored once the checksum has been verified. */
export async function readPages(reader: ByteReader, count: number): Promise<FrozenPage[]> {
  const pages: FrozenPage[] = []
  for (let n = 0; n < count; n += 1) {
    const entry = await readJson(reader, PageEntry)
    const encoded = await readBlock(reader)
    const size = encoded.length / START_BYTES
    if (size > PAGE_RECORDS || !Number.isInteger(size)) throw new CorruptCheckpointError('a page has an invalid size')
    const starts = Uint32Array.from({ length: size }, (_, index) => encoded.readUInt32LE(index * START_BYTES))
    pages.push({ ...entry, starts, bytes: await readBlock(reader) })
  }
  return pages
}
