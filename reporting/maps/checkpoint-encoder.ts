import { createHash } from 'node:crypto'
import { CHECKSUM, type Header, MAGIC, MAX_ID_ENTRY_BYTES, VERSION } from './checkpoint-format.ts'
import type { FrozenState } from './frozen-state.ts'
import type { Generation } from './known-ids.ts'

/** About 5,000 ids, whose encoding takes about a millisecond. */
const CHUNK_BYTES = 131_072

/**
 * Encodes a frozen state, chunk by chunk. The caller may yield to the event loop between two chunks. A chunk is valid
 * until the next one is requested.
 */
export function* encodeCheckpoint(state: FrozenState): Generator<Uint8Array> {
  const checksum = createHash(CHECKSUM)
  for (const chunk of encodeContent(state)) {
    checksum.update(chunk)
    yield chunk
  }
  yield checksum.digest()
}

function* encodeContent(state: FrozenState): Generator<Uint8Array> {
  const { producers, knownIds, counts } = state
  const version = Buffer.alloc(4)
  version.writeUInt32LE(VERSION)
  yield Buffer.concat([Buffer.from(MAGIC), version, encodeJson(toHeader(state))])
  yield* toChunks(encodeProducers(producers))
  yield* encodeKeys(knownIds.previous)
  yield* encodeKeys(knownIds.current)
  yield* encodeCounts(counts.asset.shards())
  yield* encodeCounts(counts.user.shards())
}

function toHeader({ id, position, views, lost, isComplete, seconds, seeds, ...state }: FrozenState): Header {
  const { producers, knownIds, counts } = state
  const sizes = {
    producers: producers.length,
    previousIds: knownIds.previous.size,
    currentIds: knownIds.current.size,
    assets: counts.asset.size,
    users: counts.user.size,
  }
  return { id, position, views, lost, isComplete, seconds, seeds, sizes }
}

function* encodeProducers(producers: FrozenState['producers']): Generator<Uint8Array> {
  for (const entry of producers) yield encodeJson(entry)
}

function encodeJson(value: object): Buffer {
  const text = Buffer.from(JSON.stringify(value))
  const size = Buffer.alloc(4)
  size.writeUInt32LE(text.length)
  return Buffer.concat([size, text])
}

/** Joins small pieces. */
function* toChunks(pieces: Iterable<Uint8Array>): Generator<Uint8Array> {
  let joined: Uint8Array[] = []
  let size = 0
  for (const piece of pieces) {
    joined.push(piece)
    size += piece.length
    if (size < CHUNK_BYTES) continue
    yield Buffer.concat(joined)
    joined = []
    size = 0
  }
  yield Buffer.concat(joined)
}

/** Keys may be appended meanwhile. Only the first `size` are encoded. */
function* encodeKeys({ keys, size }: Generation): Generator<Uint8Array> {
  const chunk = Buffer.allocUnsafe(CHUNK_BYTES)
  let used = 0
  let rest = size
  for (const key of keys) {
    if (rest === 0) break
    rest -= 1
    used += chunk.write(key, used, 'latin1')
    if (used < CHUNK_BYTES) continue
    yield chunk
    used = 0
  }
  yield chunk.subarray(0, used)
}

function* encodeCounts(shards: Iterable<ReadonlyMap<string, number>>): Generator<Uint8Array> {
  const chunk = Buffer.allocUnsafe(CHUNK_BYTES)
  let used = 0
  for (const shard of shards) {
    for (const [id, views] of shard) {
      chunk[used] = id.length
      used = writeVarint(chunk, used + 1 + chunk.write(id, used + 1, 'latin1'), views)
      if (used <= CHUNK_BYTES - MAX_ID_ENTRY_BYTES) continue
      yield chunk.subarray(0, used)
      used = 0
    }
  }
  yield chunk.subarray(0, used)
}

/** @returns the offset behind the number */
function writeVarint(target: Uint8Array, offset: number, value: number): number {
  let rest = value
  let at = offset
  for (; rest > 127; at += 1) {
    target[at] = (rest % 128) | 128
    // Shifts would cut off the bits above the 32nd.
    rest = Math.floor(rest / 128)
  }
  target[at] = rest
  return at + 1
}
