/** How an id is encoded: a UUID as 16 bytes, and other ids with one or two bytes per character. */
const UUID = 0
const LATIN1 = 1
const UTF16 = 2

const UUID_LENGTH = 36
const HYPHENS = [8, 13, 18, 23]
const HYPHEN = '-'.charCodeAt(0)
/** The offsets of each byte's two digits in a UUID. */
const UUID_BYTES = [0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34]
const MAX_LATIN1 = 255

/** Appends values to a buffer. Integers are little-endian. */
export type RecordWriter = {
  /** Valid up to `length()`. Written bytes never change, but a larger buffer may replace this one. */
  buffer(): Buffer
  length(): number
  /** Removes all bytes. */
  clear(): void
  byte(value: number): void
  uint16(value: number): void
  double(value: number): void
  /** Appends an asset or user id, which has at most 128 characters. */
  ascii(text: string): void
  bytes(source: Uint8Array): void
  /** An event's id, which may be any text. Its bytes are never a prefix of a different id's bytes. */
  id(text: string): void
}

/** Appends to the first `length` bytes of a buffer. */
export function createRecordWriter(given: Buffer, length = 0): RecordWriter {
  let buffer = given
  // A DataView writes a double several times as fast as a Buffer does.
  let view = toView(given)

  function reserve(more: number): void {
    if (length + more <= buffer.length) return
    const larger = Buffer.allocUnsafeSlow(Math.max(2 * buffer.length, length + more))
    buffer.copy(larger, 0, 0, length)
    buffer = larger
    view = toView(larger)
  }

  function byte(value: number): void {
    reserve(1)
    buffer[length] = value
    length += 1
  }

  function text(text: string): void {
    reserve(5 + 2 * text.length)
    const isLatin1 = writeLatin1(buffer, length + 5, text)
    buffer[length] = isLatin1 ? LATIN1 : UTF16
    view.setUint32(length + 1, text.length, true)
    length += 5
    length += isLatin1 ? text.length : buffer.write(text, length, 'utf16le')
  }

  return {
    buffer: () => buffer,
    length: () => length,
    clear() {
      length = 0
    },
    byte,
    uint16(value) {
      reserve(2)
      view.setUint16(length, value, true)
      length += 2
    },
    double(value) {
      reserve(8)
      view.setFloat64(length, value, true)
      length += 8
    },
    ascii(text) {
      reserve(1 + text.length)
      byte(text.length)
      writeLatin1(buffer, length, text)
      length += text.length
    },
    bytes(source) {
      reserve(source.length)
      buffer.set(source, length)
      length += source.length
    },
    id(id) {
      reserve(17)
      if (writeUuid(buffer, length + 1, id)) {
        buffer[length] = UUID
        length += 17
      } else text(id)
    },
  }
}

function toView({ buffer, byteOffset, byteLength }: Buffer): DataView {
  return new DataView(buffer, byteOffset, byteLength)
}

export type RecordReader = {
  byte(): number
  uint16(): number
  double(): number
  ascii(): string
  id(): string
}

/** Reads what a RecordWriter has written, starting at an offset. */
export function createRecordReader(bytes: Buffer, start = 0): RecordReader {
  let at = start

  function take(size: number): number {
    at += size
    return at - size
  }

  function text(encoding: 'latin1' | 'utf16le', size: number): string {
    const from = take(size)
    return bytes.toString(encoding, from, from + size)
  }

  return {
    byte: () => bytes.readUInt8(take(1)),
    uint16: () => bytes.readUInt16LE(take(2)),
    double: () => bytes.readDoubleLE(take(8)),
    ascii: () => text('latin1', bytes.readUInt8(take(1))),
    id() {
      const kind = bytes.readUInt8(take(1))
      if (kind === UUID) return readUuid(bytes, take(16))
      const length = bytes.readUInt32LE(take(4))
      return kind === LATIN1 ? text('latin1', length) : text('utf16le', 2 * length)
    },
  }
}

/** Returns the offset after the id that starts at `start`. */
export function endOfId(bytes: Buffer, start: number): number {
  const kind = bytes[start]
  if (kind === UUID) return start + 17
  return start + 5 + (kind === LATIN1 ? 1 : 2) * bytes.readUInt32LE(start + 1)
}

/** Returns the offset after the `ascii` value that starts at `start`. */
export function endOfAscii(bytes: Buffer, start: number): number {
  return start + 1 + (bytes[start] ?? 0)
}

/** @returns false if a character does not fit into a byte; the target may then have changed */
function writeLatin1(target: Buffer, start: number, text: string): boolean {
  for (let index = 0; index < text.length; index += 1) {
    const code = text.charCodeAt(index)
    if (code > MAX_LATIN1) return false
    target[start + index] = code
  }
  return true
}

/**
 * The values of the hexadecimal digits, and -1 for any other character. Upper-case digits also map to -1, because they
 * would be read back in lower case.
 */
const DIGITS = Int8Array.from({ length: 128 }, (_, code) => '0123456789abcdef'.indexOf(String.fromCharCode(code)))

/** @returns false if the text is not a UUID in lower case; the target may then have changed */
function writeUuid(target: Buffer, start: number, text: string): boolean {
  if (text.length !== UUID_LENGTH) return false
  for (const index of HYPHENS) if (text.charCodeAt(index) !== HYPHEN) return false
  let at = start
  for (const index of UUID_BYTES) {
    const high = DIGITS[text.charCodeAt(index)] ?? -1
    const low = DIGITS[text.charCodeAt(index + 1)] ?? -1
    if (high < 0 || low < 0) return false
    target[at] = high * 16 + low
    at += 1
  }
  return true
}

function readUuid(bytes: Buffer, start: number): string {
  const hex = bytes.toString('hex', start, start + 16)
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-')
}
