import { SeriesStep } from '../../shared/contracts/series.ts'
import type { StepCount } from '../series.ts'
import type { StepAddition } from '../step-additions.ts'
import type { ByteReader } from './byte-reader.ts'
import { CHUNK_BYTES, writeId, writeVarint } from './checkpoint-chunks.ts'
import { CorruptCheckpointError, MAX_ID_ENTRY_BYTES } from './checkpoint-format.ts'
import type { FrozenSeries } from './series-map.ts'
import { countAt, type FrozenCounts } from './step-counts.ts'

const MAX_VARINT_BYTES = 8
const MAX_ENTRY_BYTES = MAX_ID_ENTRY_BYTES + MAX_VARINT_BYTES
const NO_ASSETS: FrozenCounts = { ids: new Map(), size: 0, numbers: new Float64Array() }

/** Each chunk reserves room for two more entries: the start of a step, which is shorter than an entry, and an asset. */
export function* encodeSeries({ steps }: FrozenSeries): Generator<Uint8Array> {
  const chunk = Buffer.allocUnsafe(CHUNK_BYTES)
  let used = 0
  for (const { step, at, total, assets = NO_ASSETS } of steps) {
    used = chunk.writeDoubleLE(at, chunk.writeUInt8(SeriesStep.options.indexOf(step), used))
    used = writeVarint(chunk, writeCount(chunk, used, total), assets.size)
    for (const [id, index] of assets.ids.entries().take(assets.size)) {
      if (used > CHUNK_BYTES - 2 * MAX_ENTRY_BYTES) {
        yield chunk.subarray(0, used)
        used = 0
      }
      used = writeCount(chunk, writeId(chunk, used, id), countAt(assets.numbers, index))
    }
    if (used <= CHUNK_BYTES - 2 * MAX_ENTRY_BYTES) continue
    yield chunk.subarray(0, used)
    used = 0
  }
  yield chunk.subarray(0, used)
}

/** @returns the offset after the numbers */
function writeCount(target: Buffer, offset: number, { views, qualified }: StepCount): number {
  return writeVarint(target, writeVarint(target, offset, views), qualified)
}

/** Reads `count` steps. */
export async function readSeries(
  reader: ByteReader,
  count: number,
  restore: (step: StepAddition) => void,
): Promise<void> {
  for (let n = 0; n < count; n += 1) {
    await reader.fillUpTo(MAX_ENTRY_BYTES)
    const step = SeriesStep.options[reader.byte()]
    if (step === undefined) throw new CorruptCheckpointError('a step is invalid')
    const at = reader.double()
    const total = readCount(reader)
    restore({ step, at, total, assets: await readAssets(reader, reader.varint()) })
  }
}

async function readAssets(reader: ByteReader, count: number): Promise<Map<string, StepCount>> {
  const assets = new Map<string, StepCount>()
  for (let n = 0; n < count; n += 1) {
    // Near the end of the file, fewer than MAX_ENTRY_BYTES may remain.
    if (reader.available() < MAX_ENTRY_BYTES) await reader.fillUpTo(MAX_ENTRY_BYTES)
    assets.set(reader.latin1(reader.byte()), readCount(reader))
  }
  return assets
}

function readCount(reader: ByteReader): StepCount {
  return { views: reader.varint(), qualified: reader.varint() }
}
