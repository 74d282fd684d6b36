import type { FrozenPage } from '../../shared/records/record-page.ts'
import type { ByteReader } from './byte-reader.ts'
import { readBlock, readJson } from './checkpoint-blocks.ts'
import { encodeBlock, encodeJson } from './checkpoint-chunks.ts'
import { CorruptCheckpointError, type Header, WaitingEntries } from './checkpoint-format.ts'
import { encodePages, readPages } from './checkpoint-records.ts'
import { encodeSeries, readSeries } from './checkpoint-series.ts'
import type { FrozenWatch } from './frozen-state.ts'
import type { WatchedViews } from './watched-views.ts'

const MARK_BYTES = 4

type WatchHeader = NonNullable<Header['watch']>

export function toWatchHeader({ early, series }: FrozenWatch): WatchHeader {
  return { seriesSince: series.since, earlyReports: early.length, steps: series.steps.length }
}

/** Encodes the watch-time state, and the verdicts' marks. */
export function* encodeWatch(watch: FrozenWatch, verdicts: readonly FrozenPage[]): Generator<Uint8Array> {
  yield encodeJson(watch.waiting)
  for (const { marks = [] } of verdicts) yield encodeBlock(encodeMarks(marks))
  yield* encodePages(watch.early)
  yield* encodeSeries(watch.series)
}

function encodeMarks(marks: Iterable<number> & { length: number }): Uint8Array {
  const encoded = Buffer.allocUnsafe(marks.length * MARK_BYTES)
  let at = 0
  for (const mark of marks) at = encoded.writeUInt32LE(mark, at)
  return encoded
}

type Verdicts = { verdicts: readonly FrozenPage[] }

/**
 * Restores the watch-time state. Returns the pages of verdicts with their marks, and the pages of early
 * reports.
 */
export async function readWatch(
  reader: ByteReader,
  { watch: sizes, clock }: Pick<Header, 'watch' | 'clock'>,
  { watch, verdicts }: { watch: WatchedViews | undefined } & Verdicts,
): Promise<Verdicts & { early: FrozenPage[] }> {
  if (!watch || !sizes) return { verdicts, early: [] }
  watch.waiting.restore(await readJson(reader, WaitingEntries))
  const marked: FrozenPage[] = []
  for (const page of verdicts) marked.push({ ...page, marks: decodeMarks(await readBlock(reader), page) })
  const early = await readPages(reader, sizes.earlyReports)
  await readSeries(reader, sizes.steps, (step) => watch.series.add([step], clock))
  return { verdicts: marked, early }
}

function decodeMarks(encoded: Buffer, { starts }: FrozenPage): Uint32Array | undefined {
  if (encoded.length === 0) return undefined
  if (encoded.length !== starts.length * MARK_BYTES) throw new CorruptCheckpointError('a page has an invalid size')
  return Uint32Array.from(starts, (_, index) => encoded.readUInt32LE(index * MARK_BYTES))
}
