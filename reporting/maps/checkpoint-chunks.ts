/** A chunk of this size holds about 5,000 ids, which take about a millisecond to encode. */
export const CHUNK_BYTES = 131_072

/** Joins small pieces into chunks of at least CHUNK_BYTES, except for the last chunk. */
export function* toChunks(pieces: Iterable<Uint8Array>): Generator<Uint8Array> {
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

export function encodeJson(value: object): Buffer {
  return encodeBlock(Buffer.from(JSON.stringify(value)))
}

export function encodeBlock(content: Uint8Array): Buffer {
  return Buffer.concat([encodeSize(content.length), content])
}

/** Encodes the length that precedes a block's content. */
export function encodeSize(size: number): Buffer {
  const encoded = Buffer.alloc(4)
  encoded.writeUInt32LE(size)
  return encoded
}

/** @returns the offset after the id */
export function writeId(target: Buffer, offset: number, id: string): number {
  target[offset] = id.length
  return offset + 1 + target.write(id, offset + 1, 'latin1')
}

/** @returns the offset after the number */
export function writeVarint(target: Buffer, offset: number, value: number): number {
  let remaining = value
  let at = offset
  for (; remaining > 127; at += 1) {
    target[at] = (remaining % 128) | 128
    // Bit shifts would truncate the value to 32 bits.
    remaining = Math.floor(remaining / 128)
  }
  target[at] = remaining
  return at + 1
}
