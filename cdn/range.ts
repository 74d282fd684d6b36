/** The positions of the first and last byte, inclusive. */
export type Range = { start: number; end: number }

/**
 * Parses a `Range` header that requests one byte range (RFC 9110, section 14.2).
 * @returns undefined if the header is missing, is invalid, or requests multiple ranges, which no player needs. The
 * response is then the whole file.
 */
export function readRange(header: string | undefined, size: number): Range | 'unsatisfiable' | undefined {
  const [, first = '', last = ''] = /^bytes=\s*(\d*)\s*-\s*(\d*)\s*$/i.exec(header ?? '') ?? []
  if (first === '' && last === '') return undefined
  const suffix = Math.min(Number(last), size)
  const range =
    first === ''
      ? { start: size - suffix, end: size - 1 }
      : { start: Number(first), end: last === '' ? size - 1 : Math.min(Number(last), size - 1) }
  if (first !== '' && last !== '' && Number(last) < Number(first)) return undefined
  return range.start > range.end ? 'unsatisfiable' : range
}
