import { createHash } from 'node:crypto'
import { CHUNK_BYTES, encodeJson, toChunks, writeVarint } from './checkpoint-chunks.ts'
import { CHECKSUM, type Header, MAGIC, MAX_ID_ENTRY_BYTES, VERSION } from './checkpoint-format.ts'
import { encodeJudged, encodePages } from './checkpoint-records.ts'
import { encodeSeries } from './checkpoint-series.ts'
import { encodeViewers } from './checkpoint-viewers.ts'
import { encodeWatch, toWatchHeader } from './checkpoint-watch.ts'
import type { FrozenCountMap } from './count-map.ts'
import type { FrozenState } from './frozen-state.ts'
import type { Generation } from './known-ids.ts'

const YIELD_IDS = 65_536

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
  yield* encodeCounts(counts.asset, 'notQualified')
  yield* encodeCounts(counts.user, 'notQualified')
  yield* encodeCounts(counts.asset, 'views')
  yield* encodeCounts(counts.user, 'views')
  yield* encodeViewers(state.viewers.shards())
  for (const { events } of state.judged) yield* encodeJudged(events)
  yield* encodePages(state.verdicts)
  yield* encodePages(state.keys)
  yield* encodeSeries(state.series)
  if (state.watch) yield* encodeWatch(state.watch, state.verdicts)
}

function toHeader(state: FrozenState): Header {
  const { id, position, views, lost, isComplete, seconds, viewersSeed, rules, clock, totals } = state
  const { producers, knownIds, counts, judged } = state
  const sizes = {
    producers: producers.length,
    previousIds: knownIds.previous.size,
    currentIds: knownIds.current.size,
    notQualified: { asset: counts.asset.notQualified.positive, user: counts.user.notQualified.positive },
    assets: counts.asset.views.positive,
    users: counts.user.views.positive,
    viewers: state.viewers.size,
    judged: judged.map(({ rule, events }) => ({ rule, events: events.length })),
    verdictPages: state.verdicts.length,
    keyPages: state.keys.length,
    steps: state.series.steps.length,
  }
  const seeds = { asset: viewersSeed, user: viewersSeed }
  const seriesSince = state.series.since
  const header = { id, position, views, lost, isComplete, seconds, seeds, rules, clock, totals, seriesSince, sizes }
  return state.watch ? { ...header, watch: toWatchHeader(state.watch) } : header
}

function* encodeProducers(producers: FrozenState['producers']): Generator<Uint8Array> {
  for (const entry of producers) yield encodeJson(entry)
}

/** Keys may be appended during the encoding, but only the first `size` keys are encoded. */
function* encodeKeys({ keys, size }: Generation): Generator<Uint8Array> {
  const chunk = Buffer.allocUnsafe(CHUNK_BYTES)
  let used = 0
  let remaining = size
  for (const key of keys) {
    if (remaining === 0) break
    remaining -= 1
    used += chunk.write(key, used, 'latin1')
    if (used < CHUNK_BYTES) continue
    yield chunk
    used = 0
  }
  yield chunk.subarray(0, used)
}

/** Encodes the counts that are not 0. Yields after every 65,536 ids, even if all their counts are 0. */
function* encodeCounts(counts: FrozenCountMap, kind: 'views' | 'notQualified'): Generator<Uint8Array> {
  const { size, ids, [kind]: counters } = counts
  const chunk = Buffer.allocUnsafe(CHUNK_BYTES)
  let used = 0
  for (let number = 0; number < size; number += 1) {
    const count = counters.get(number)
    if (count > 0) used = writeVarint(chunk, ids.write(number, chunk, used), count)
    if (used <= CHUNK_BYTES - MAX_ID_ENTRY_BYTES && (number + 1) % YIELD_IDS > 0) continue
    yield chunk.subarray(0, used)
    used = 0
  }
  yield chunk.subarray(0, used)
}
