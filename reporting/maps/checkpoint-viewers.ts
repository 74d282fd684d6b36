import type { ByteReader } from './byte-reader.ts'
import { CHUNK_BYTES, writeId, writeVarint } from './checkpoint-chunks.ts'
import { CorruptCheckpointError, MAX_ID_ENTRY_BYTES } from './checkpoint-format.ts'
import { REGISTERS, restoreSketch } from './hyper-log-log.ts'
import { countViewers, hashesOf, MAX_EXACT, toViewerSet, type ViewerSet } from './viewer-set.ts'

const DOUBLE_BYTES = 8
/** The largest entry contains a sketch, which takes more bytes than any exact set. */
const MAX_ENTRY_BYTES = MAX_ID_ENTRY_BYTES + DOUBLE_BYTES + REGISTERS

export function* encodeViewers(shards: Iterable<ReadonlyMap<string, ViewerSet>>): Generator<Uint8Array> {
  const chunk = Buffer.allocUnsafe(CHUNK_BYTES)
  let used = 0
  for (const shard of shards) {
    for (const [id, viewers] of shard) {
      used = writeViewers(chunk, writeId(chunk, used, id), viewers)
      if (used <= CHUNK_BYTES - MAX_ENTRY_BYTES) continue
      yield chunk.subarray(0, used)
      used = 0
    }
  }
  yield chunk.subarray(0, used)
}

/** @returns the offset after the viewers */
function writeViewers(target: Buffer, offset: number, viewers: ViewerSet): number {
  if ('registers' in viewers) {
    const at = target.writeDoubleLE(viewers.estimate, writeVarint(target, offset, 0))
    target.set(viewers.registers, at)
    return at + REGISTERS
  }
  let at = writeVarint(target, offset, countViewers(viewers))
  for (const hash of hashesOf(viewers)) at = target.writeDoubleLE(hash, at)
  return at
}

/** Reads the viewers of `count` assets. */
export async function readViewers(
  reader: ByteReader,
  count: number,
  restore: (assetId: string, viewers: ViewerSet) => void,
): Promise<void> {
  for (let n = 0; n < count; n += 1) {
    // Near the end of the file, fewer than MAX_ENTRY_BYTES may remain.
    if (reader.available() < MAX_ENTRY_BYTES) await reader.fillUpTo(MAX_ENTRY_BYTES)
    restore(reader.latin1(reader.byte()), readSet(reader, reader.varint()))
  }
}

function readSet(reader: ByteReader, size: number): ViewerSet {
  if (size > MAX_EXACT) throw new CorruptCheckpointError('an asset has too many exact viewers')
  if (size > 0) return toViewerSet(Array.from({ length: size }, reader.double))
  const estimate = reader.double()
  return restoreSketch(Uint8Array.from(reader.bytes(REGISTERS)), estimate)
}
