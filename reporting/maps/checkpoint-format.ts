import { z } from 'zod'
import { Audit } from '../../shared/contracts/audit.ts'
import { SerialRange } from '../../shared/contracts/event-batch.ts'
import { SeriesStep } from '../../shared/contracts/series.ts'

/**
 * A checkpoint is a binary file. Integers and doubles are little-endian. A block is its length in 4 bytes, followed by
 * that many bytes.
 *
 * | bytes | content |
 * |---|---|
 * | 8 | MAGIC |
 * | 4 | the version |
 * | block | the header as JSON |
 * | block, for each producer | a `ProducerEntry` as JSON |
 * | 16, for each known id | its key; the previous generation's ids come first |
 * | 1 + n + 1 to 8, for each asset, then each user, with views that are not qualified | the length of the id, the id in ASCII, the number of these views as a varint (LEB128) |
 * | 1 + n + 1 to 8, for each asset, then each user | the same, but with the number of all views |
 * | 1 + n + 1 to 2 + …, for each asset that has viewers | the length of the id, the id in ASCII, the number of hashes as a varint, and each hash as a double; or 0, the estimate as a double, and the sketch's registers |
 * | blocks, for each rule | the events that the rule still remembers, each with its clock; 1,024 in each block but the last |
 * | 3 blocks, for each page of verdicts, then for each page of keyed views | a `PageEntry` as JSON, each record's offset in 4 bytes, and the records |
 * | 1 + 8 + 3 × 1 to 8, for each minute, hour and day with views | 0, 1 or 2; its start as a double; its views, qualified views and number of assets as varints |
 * | 1 + n + 2 × 1 to 8, for each of its assets | the length of the id, the id in ASCII, its views and qualified views as varints |
 * | block | only with rules that require watch time: the numbers of views that wait for watch time, by second, as `WaitingEntries` in JSON |
 * | block, for each page of verdicts | its records' marks in 4 bytes each; empty if all are 0 |
 * | 3 blocks, for each page of reports whose views are not in the log yet | the same as for each page of verdicts |
 * | … | the watch times in milliseconds, in the same format as the views by minute, hour and day |
 * | 32 | the SHA-256 of everything before it |
 *
 * Version 1 lacks the row for views that are not qualified, and all rows between the views and the SHA-256.
 */
export const MAGIC = 'VIEWCKPT'
export const VERSION = 2
/** The oldest version that can still be read. */
export const VERSION_WITHOUT_RULES = 1
export const CHECKSUM = 'sha256'
export const CHECKSUM_BYTES = 32

/** An entry's maximum size: the length of the id, the id (at most 128 bytes), and a varint. */
export const MAX_ID_ENTRY_BYTES = 1 + 128 + 8

const number = z.int().nonnegative()
const byAssetAndUser = z.object({ asset: number, user: number })

export const HeaderWithoutRules = z.object({
  id: z.string().min(1),
  position: z.object({ incarnation: z.string(), sequence: number }).optional(),
  views: number,
  lost: z.object({ views: number, gaps: z.array(SerialRange) }),
  isComplete: z.boolean(),
  seconds: z.array(z.tuple([number, number])),
  /** `asset`: the seed for the viewers. Release 0.2.0 requires a seed for `user` too. */
  seeds: byAssetAndUser,
  /** The number of entries of each kind. */
  sizes: z.object({ producers: number, previousIds: number, currentIds: number, assets: number, users: number }),
})
export type HeaderWithoutRules = z.infer<typeof HeaderWithoutRules>

export const Header = HeaderWithoutRules.extend({
  /** The version of the view rules. */
  rules: z.string(),
  clock: z.number(),
  totals: Audit.pick({ notQualified: true, direct: true, retried: true, rejected: true }).extend({ pending: number }),
  /** The start of the first hour, and of the first day, with per-asset counts. Earlier counts were dropped. */
  seriesSince: z.partialRecord(SeriesStep, z.number()),
  /** Present only with rules that require watch time. `earlyReports`: the number of pages of early reports. */
  watch: z
    .object({ seriesSince: z.partialRecord(SeriesStep, z.number()), earlyReports: number, steps: number })
    .optional(),
  sizes: HeaderWithoutRules.shape.sizes.extend({
    notQualified: byAssetAndUser,
    viewers: number,
    judged: z.array(z.object({ rule: z.string(), events: number })),
    verdictPages: number,
    keyPages: number,
    steps: number,
  }),
})
export type Header = z.infer<typeof Header>

/** A producer and its LastSerial: serial, sequence, reported. */
export const ProducerEntry = z.tuple([z.string(), number, number, number])
export type ProducerEntry = z.infer<typeof ProducerEntry>

/** A second, and how many of its views wait for watch time: first those without a report, then those with one. */
export const WaitingEntries = z.array(z.tuple([number, number, number]))

/** The page number, and the strings that the page's records reference by index. */
export const PageEntry = z.object({ page: number, names: z.array(z.string()) })
export type PageEntry = z.infer<typeof PageEntry>

/** The file is not a complete checkpoint: it is truncated or corrupt. */
export class CorruptCheckpointError extends Error {
  override name = 'CorruptCheckpointError'
}

/** The file may be a checkpoint from another release. */
export class UnknownVersionError extends Error {
  override name = 'UnknownVersionError'
}
