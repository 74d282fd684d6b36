import { createRecordWriter } from '../../shared/records/record-bytes.ts'
import { type FrozenPage, PAGE_RECORDS } from '../../shared/records/record-page.ts'
import type { KnownEvents } from '../rules/judged-events.ts'
import type { ByteReader } from './byte-reader.ts'
import { fillBlock, readBlock, readJson } from './checkpoint-blocks.ts'
import { encodeBlock, encodeJson, encodeSize } from './checkpoint-chunks.ts'
import { CorruptCheckpointError, PageEntry } from './checkpoint-format.ts'

/** The number of events in a block, a divisor of PAGE_RECORDS. Only the last block may have fewer events. */
const BLOCK_EVENTS = 1_024
const START_BYTES = 4

export function* encodeJudged(events: Pick<KnownEvents, 'encoded'>): Generator<Uint8Array> {
  for (const block of events.encoded(BLOCK_EVENTS)) yield encodeBlock(block)
}

/** Reads `count` events, and returns the bytes of up to PAGE_RECORDS events at a time. */
export async function readJudged(reader: ByteReader, count: number): Promise<Buffer[]> {
  const pages: Buffer[] = []
  for (let n = 0; n < count; n += PAGE_RECORDS) {
    // Pages have similar sizes, so a little more than the size of the last one is usually enough.
    const page = createRecordWriter(Buffer.allocUnsafeSlow(Math.ceil(1.1 * (pages.at(-1)?.length ?? 0))))
    for (let from = n; from < Math.min(count, n + PAGE_RECORDS); from += BLOCK_EVENTS) {
      page.bytes(reader.bytes(await fillBlock(reader)))
    }
    pages.push(page.buffer().subarray(0, page.length()))
  }
  return pages
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

/** Reads pages. The caller must not restore them before the checksum has been verified. */
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
