import { createHash } from 'node:crypto'
import { CHECKSUM, CHECKSUM_BYTES, CorruptCheckpointError } from './checkpoint-format.ts'

const BUFFER_BYTES = 1_048_576

/** Reads the next bytes into `target`, and returns their number; 0 at the end. */
export type ReadBytes = (target: Uint8Array) => Promise<number>

/** Every method throws CorruptCheckpointError if the content ends too early. */
export type ByteReader = {
  /** The number of bytes that can be read synchronously. */
  available(): number
  /** Makes at least `size` bytes available. */
  fill(size: number): Promise<void>
  /** Makes at least `size` bytes available, or all that are left. */
  fillUpTo(size: number): Promise<void>
  byte(): number
  uint32(): number
  double(): number
  /** A LEB128 number of at most 53 bits. */
  varint(): number
  /** The next bytes, valid until the next call. */
  bytes(size: number): Uint8Array
  latin1(size: number): string
  /** Reads and discards the remaining content. */
  skip(): Promise<void>
  /** Verifies that everything has been read, and that the checksum at the end matches. */
  assertChecksum(): Promise<void>
}

/** Reads a file of `size` bytes that ends with its checksum. */
export function createByteReader(read: ReadBytes, size: number): ByteReader {
  const checksum = createHash(CHECKSUM)
  let buffer = Buffer.alloc(BUFFER_BYTES)
  let at = 0
  let end = 0
  /** The size of the content that is not in the buffer yet. */
  let remaining = size - CHECKSUM_BYTES

  async function readInto(target: Uint8Array): Promise<number> {
    const length = await read(target)
    if (length === 0) throw new CorruptCheckpointError('it is truncated')
    return length
  }

  async function fillUpTo(wanted: number): Promise<void> {
    const kept = buffer.subarray(at, end)
    if (wanted > buffer.length) buffer = Buffer.concat([kept], wanted)
    else buffer.copyWithin(0, at, end)
    end -= at
    at = 0
    while (end < wanted && remaining > 0) {
      const length = await readInto(buffer.subarray(end, end + remaining))
      checksum.update(buffer.subarray(end, end + length))
      end += length
      remaining -= length
    }
  }

  function take(length: number): number {
    if (at + length > end) throw new CorruptCheckpointError('it is truncated')
    at += length
    return at - length
  }

  const byte = () => buffer.readUInt8(take(1))

  return {
    available: () => end - at,
    fillUpTo,
    async fill(wanted) {
      if (wanted > end - at + remaining) throw new CorruptCheckpointError('it is truncated')
      await fillUpTo(wanted)
    },
    byte,
    uint32: () => buffer.readUInt32LE(take(4)),
    double: () => buffer.readDoubleLE(take(8)),
    varint() {
      let value = 0
      for (let unit = 1; unit <= 128 ** 7; unit *= 128) {
        const next = byte()
        value += (next & 127) * unit
        if (next < 128) return value
      }
      throw new CorruptCheckpointError('a number is too long')
    },
    bytes(length) {
      const from = take(length)
      return buffer.subarray(from, from + length)
    },
    latin1(length) {
      const from = take(length)
      return buffer.toString('latin1', from, from + length)
    },
    async skip() {
      do {
        at = end
        await fillUpTo(1)
      } while (at < end)
    },
    async assertChecksum() {
      if (at < end || remaining > 0) throw new CorruptCheckpointError('it has trailing content')
      const expected = Buffer.alloc(CHECKSUM_BYTES)
      for (let n = 0; n < CHECKSUM_BYTES; ) n += await readInto(expected.subarray(n))
      if (!checksum.digest().equals(expected)) throw new CorruptCheckpointError('its checksum does not match')
    },
  }
}
