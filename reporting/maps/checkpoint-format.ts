import { z } from 'zod'
import { SerialRange } from '../../shared/contracts/event-batch.ts'

/**
 * A checkpoint is a binary file. Integers are little-endian.
 *
 * | bytes | content |
 * |---|---|
 * | 8 | MAGIC |
 * | 4 | VERSION |
 * | 4 + n | the length of the header, and the header as JSON |
 * | 4 + n, for each producer | the length of the entry, and a `ProducerEntry` as JSON |
 * | 16, for each known id | its key, those of the previous generation first |
 * | 1 + n + 1 to 8, for each asset, then each user | the length of the id, the id in ASCII, its views as a varint (LEB128) |
 * | 32 | the SHA-256 of everything before it |
 */
export const MAGIC = 'VIEWCKPT'
export const VERSION = 1
export const CHECKSUM = 'sha256'
export const CHECKSUM_BYTES = 32

/** The maximum size of the entry of an id, whose length is at most 128. */
export const MAX_ID_ENTRY_BYTES = 1 + 128 + 8

const number = z.int().nonnegative()
const byAssetAndUser = z.object({ asset: number, user: number })

export const Header = z.object({
  id: z.string().min(1),
  position: z.object({ incarnation: z.string(), sequence: number }).optional(),
  views: number,
  lost: z.object({ views: number, gaps: z.array(SerialRange) }),
  isComplete: z.boolean(),
  seconds: z.array(z.tuple([number, number])),
  seeds: byAssetAndUser,
  /** The number of entries of each kind. */
  sizes: z.object({ producers: number, previousIds: number, currentIds: number, assets: number, users: number }),
})
export type Header = z.infer<typeof Header>

/** A producer and its LastSerial: serial, sequence, reported. */
export const ProducerEntry = z.tuple([z.string(), number, number, number])
export type ProducerEntry = z.infer<typeof ProducerEntry>

/** The file is not a complete checkpoint: it is truncated or corrupt. */
export class CorruptCheckpointError extends Error {
  override name = 'CorruptCheckpointError'
}

/** The file may be a checkpoint of another release. */
export class UnknownVersionError extends Error {
  override name = 'UnknownVersionError'
}
