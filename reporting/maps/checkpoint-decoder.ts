import type { z } from 'zod'
import type { LastSerial } from '../deduplicator.ts'
import { DIGEST_BYTES } from '../digest.ts'
import { createRecentSeconds } from '../recent-seconds.ts'
import { type ByteReader, createByteReader, type ReadBytes } from './byte-reader.ts'
import {
  CorruptCheckpointError,
  Header,
  MAGIC,
  MAX_ID_ENTRY_BYTES,
  ProducerEntry,
  UnknownVersionError,
  VERSION,
} from './checkpoint-format.ts'
import { type CountMap, createCountMap } from './count-map.ts'
import { type CountState, createCountState } from './count-state.ts'
import { createKnownIds } from './known-ids.ts'

/**
 * Decodes a checkpoint of `size` bytes, and verifies its checksum.
 * @throws CorruptCheckpointError, UnknownVersionError, or what `read` throws
 */
export async function decodeCheckpoint(read: ReadBytes, size: number): Promise<CountState> {
  const reader = createByteReader(read, size)
  await assertVersion(reader)
  const { sizes, seeds, seconds, isComplete, ...header } = await readJson(reader, Header)
  const producers = new Map<string, LastSerial>()
  for (let n = 0; n < sizes.producers; n += 1) {
    const [producer, serial, sequence, reported] = await readJson(reader, ProducerEntry)
    producers.set(producer, { serial, sequence, reported })
  }
  const previous = await readKeys(reader, sizes.previousIds)
  const current = await readKeys(reader, sizes.currentIds)
  const counts = { asset: createCountMap(seeds.asset), user: createCountMap(seeds.user) }
  await readCounts(reader, sizes.assets, counts.asset)
  await readCounts(reader, sizes.users, counts.user)
  await reader.assertChecksum()
  const deduplication = { isComplete, producers, knownIds: createKnownIds({ previous, current }) }
  return {
    ...createCountState(),
    ...header,
    position: header.position,
    counts,
    deduplication,
    seconds: createRecentSeconds(seconds),
    changes: 0,
  }
}

async function assertVersion(reader: ByteReader): Promise<void> {
  await reader.fill(MAGIC.length + 4)
  if (reader.latin1(MAGIC.length) !== MAGIC) throw new CorruptCheckpointError('it is not a checkpoint')
  const version = reader.uint32()
  if (version !== VERSION) {
    throw new UnknownVersionError(`its format version is ${version}, but this release reads version ${VERSION}`)
  }
}

async function readJson<Schema extends z.ZodType>(reader: ByteReader, schema: Schema): Promise<z.output<Schema>> {
  await reader.fill(4)
  const size = reader.uint32()
  await reader.fill(size)
  const parsed = schema.safeParse(parseJson(reader.utf8(size)))
  if (!parsed.success) throw new CorruptCheckpointError('an entry is invalid', { cause: parsed.error })
  return parsed.data
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw new CorruptCheckpointError('an entry is not JSON', { cause })
  }
}

async function readKeys(reader: ByteReader, count: number): Promise<Set<string>> {
  const keys = new Set<string>()
  for (let n = 0; n < count; n += 1) {
    if (reader.available() < DIGEST_BYTES) await reader.fill(DIGEST_BYTES)
    keys.add(reader.latin1(DIGEST_BYTES))
  }
  return keys
}

async function readCounts(reader: ByteReader, count: number, counts: CountMap): Promise<void> {
  for (let n = 0; n < count; n += 1) {
    // The last entries may be shorter than the maximum.
    if (reader.available() < MAX_ID_ENTRY_BYTES) await reader.fillUpTo(MAX_ID_ENTRY_BYTES)
    const id = reader.latin1(reader.byte())
    counts.restore(id, readVarint(reader))
  }
}

function readVarint(reader: ByteReader): number {
  let value = 0
  for (let unit = 1; unit <= 128 ** 7; unit *= 128) {
    const byte = reader.byte()
    value += (byte & 127) * unit
    if (byte < 128) return value
  }
  throw new CorruptCheckpointError('a number is too long')
}
