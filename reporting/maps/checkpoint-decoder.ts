import { createYielder } from '../../shared/runtime/yielder.ts'
import { StartError } from '../../shared/service/service.ts'
import type { LastSerial } from '../deduplicator.ts'
import { DIGEST_BYTES } from '../digest.ts'
import { createRecentSeconds } from '../recent-seconds.ts'
import { DEFAULT_RULES, type RulesVersion } from '../rules/rule-sets.ts'
import { type ByteReader, createByteReader, type ReadBytes } from './byte-reader.ts'
import { readJson } from './checkpoint-blocks.ts'
import { MAX_ID_ENTRY_BYTES, ProducerEntry } from './checkpoint-format.ts'
import { type CheckpointHeader, readHeader } from './checkpoint-header.ts'
import { readJudged, readPages } from './checkpoint-records.ts'
import { readSeries } from './checkpoint-series.ts'
import { readViewers } from './checkpoint-viewers.ts'
import { readWatch } from './checkpoint-watch.ts'
import { type CountState, createCountState } from './count-state.ts'
import type { Kept } from './kept.ts'
import { createKnownIds } from './known-ids.ts'

/** The rules that this process uses, and how many recent events it keeps. */
export type Judging = { rules?: RulesVersion; kept?: Kept }

/**
 * Decodes a checkpoint of `size` bytes, and verifies its checksum.
 * @throws StartError if its views were judged by other rules
 * @throws CorruptCheckpointError, UnknownVersionError, or what `read` throws
 */
export async function decodeCheckpoint(read: ReadBytes, size: number, judging: Judging = {}): Promise<CountState> {
  const reader = createByteReader(read, size)
  const header = await readOwnHeader(reader, judging.rules)
  const { sizes, seeds, seconds, isComplete, seriesSince, rules: _, watch, ...rest } = header
  const state = createCountState({ ...judging, viewersSeed: seeds.asset, seriesSince, watchSince: watch?.seriesSince })
  const producers = await readProducers(reader, sizes.producers)
  const previous = await readKeys(reader, sizes.previousIds)
  const current = await readKeys(reader, sizes.currentIds)
  await readAllCounts(reader, header, state)
  await readViewers(reader, sizes.viewers, state.viewers.restore)
  await readRecords(reader, header, state)
  return {
    ...state,
    ...rest,
    position: rest.position,
    deduplication: { isComplete, producers, knownIds: createKnownIds({ previous, current }) },
    seconds: createRecentSeconds(seconds),
  }
}

/**
 * Verifies that the views in a checkpoint were judged by these rules. If they were, reads only the header.
 * @throws the same errors as decodeCheckpoint
 */
export async function assertRules(read: ReadBytes, size: number, rules: RulesVersion): Promise<void> {
  await readOwnHeader(createByteReader(read, size), rules)
}

async function readOwnHeader(reader: ByteReader, rules: RulesVersion = DEFAULT_RULES): Promise<CheckpointHeader> {
  const header = await readHeader(reader)
  if (header.rules === rules || header.rules === undefined) return header
  await reader.skip()
  await reader.assertChecksum()
  const { rules: others } = header
  throw new StartError(
    `the views in the checkpoint were judged by the view rules ${others}, but this process uses ${rules}: set VIEW_RULES=${others}, or move the checkpoint out of DATA_DIR to count the log again`,
  )
}

async function readProducers(reader: ByteReader, count: number): Promise<Map<string, LastSerial>> {
  const producers = new Map<string, LastSerial>()
  for (let n = 0; n < count; n += 1) {
    const [producer, serial, sequence, reported] = await readJson(reader, ProducerEntry)
    producers.set(producer, { serial, sequence, reported })
  }
  return producers
}

async function readKeys(reader: ByteReader, count: number): Promise<Set<string>> {
  const keys = new Set<string>()
  for (let n = 0; n < count; n += 1) {
    if (reader.available() < DIGEST_BYTES) await reader.fill(DIGEST_BYTES)
    keys.add(reader.latin1(DIGEST_BYTES))
  }
  return keys
}

/** In a checkpoint without rules, no view was judged, so none is qualified. */
async function readAllCounts(reader: ByteReader, header: CheckpointHeader, { counts }: CountState): Promise<void> {
  const { sizes, rules } = header
  const { asset, user } = counts
  await readCounts(reader, sizes.notQualified.asset, asset.restoreNotQualified)
  await readCounts(reader, sizes.notQualified.user, user.restoreNotQualified)
  for (const [map, size] of [
    [asset, sizes.assets],
    [user, sizes.users],
  ] as const) {
    await readCounts(reader, size, (id, views) => {
      if (rules === undefined) map.restoreNotQualified(id, views)
      map.restore(id, views)
    })
  }
}

async function readCounts(
  reader: ByteReader,
  count: number,
  restore: (id: string, views: number) => void,
): Promise<void> {
  for (let n = 0; n < count; n += 1) {
    // Near the end of the file, fewer than MAX_ID_ENTRY_BYTES may remain.
    if (reader.available() < MAX_ID_ENTRY_BYTES) await reader.fillUpTo(MAX_ID_ENTRY_BYTES)
    restore(reader.latin1(reader.byte()), reader.varint())
  }
}

/** Reads the events and verdicts, which are decoded only after the checksum has been verified. */
async function readRecords(reader: ByteReader, header: CheckpointHeader, state: CountState): Promise<void> {
  const { sizes, clock } = header
  const judged: { rule: string; pages: Buffer[] }[] = []
  for (const { rule, events } of sizes.judged) judged.push({ rule, pages: await readJudged(reader, events) })
  const unmarked = await readPages(reader, sizes.verdictPages)
  const keys = await readPages(reader, sizes.keyPages)
  await readSeries(reader, sizes.steps, (step) => state.series.add([step], clock))
  const { verdicts, early } = await readWatch(reader, header, { ...state, verdicts: unmarked })
  await reader.assertChecksum()
  for (const { rule, pages } of judged) await restoreAll(pages, (page) => state.judge.restoreEncoded(page, rule))
  await restoreAll(verdicts, state.verdicts.restore)
  await restoreAll(keys, state.keys.restore)
  if (state.watch) await restoreAll(early, state.watch.records.restore)
}

async function restoreAll<Page>(pages: Iterable<Page>, restore: (page: Page) => void): Promise<void> {
  const yieldIfDue = createYielder()
  for (const page of pages) {
    restore(page)
    await yieldIfDue()
  }
}
