import { z } from 'zod'
import { AssetId } from '../contracts/ids.ts'
import type { FieldError } from '../http/errors.ts'
import { SMALL_BODY, toFieldErrors } from '../http/validate.ts'
import { parseSafely } from '../runtime/parse-safely.ts'
import { createYielder } from '../runtime/yielder.ts'

/** The same limit as for the body of a single asset. It also bounds the cost of one `JSON.parse` call. */
export const MAX_LINE_BYTES = SMALL_BODY
export const MAX_INVALID_LINES = 100

const LINE_FEED = 0x0a
const BYTE_ORDER_MARK = [0xef, 0xbb, 0xbf]
const EMPTY = new Uint8Array()
const BLANK = /^[ \t\r]*$/

const Identified = z.object({ id: AssetId })

type Asset<Fields> = { id: string; fields: Fields }
type InvalidLine = { errors: FieldError[] }

/**
 * Parses newline-delimited JSON (https://github.com/ndjson/ndjson-spec), one asset per line. Skips blank lines; if an
 * id occurs more than once, the last line wins. If any line is invalid, returns no assets, only the errors for the
 * first `MAX_INVALID_LINES` invalid lines.
 */
export async function parseAssetLines<Fields>(
  body: Uint8Array,
  schema: z.ZodType<Fields>,
): Promise<{ assets: Map<string, Fields>; errors: FieldError[] }> {
  const assets = new Map<string, Fields>()
  const errors: FieldError[] = []
  const yieldWhenDue = createYielder()
  let lineNumber = 0
  let invalidLines = 0
  for (const line of linesOf(body)) {
    lineNumber += 1
    const parsed = parseLine(line, schema)
    if (parsed && 'errors' in parsed) {
      errors.push(...parsed.errors.map(({ path, message }) => ({ path: pathAt(lineNumber, path), message })))
      invalidLines += 1
      if (invalidLines === MAX_INVALID_LINES) break
    } else if (parsed) {
      assets.set(parsed.id, parsed.fields)
    }
    await yieldWhenDue()
  }
  if (errors.length > 0) assets.clear()
  else if (assets.size === 0) errors.push({ path: '', message: 'the body has no assets' })
  return { assets, errors }
}

function* linesOf(body: Uint8Array): Generator<Uint8Array> {
  const hasMark = BYTE_ORDER_MARK.every((byte, index) => body[index] === byte)
  for (let start = hasMark ? BYTE_ORDER_MARK.length : 0; start < body.length; ) {
    const found = body.indexOf(LINE_FEED, start)
    const end = found === -1 ? body.length : found
    // Fast path for a body with millions of empty lines: avoids creating a subarray for each line.
    yield start === end ? EMPTY : body.subarray(start, end)
    start = end + 1
  }
}

/** @returns undefined for a blank line */
function parseLine<Fields>(line: Uint8Array, schema: z.ZodType<Fields>): Asset<Fields> | InvalidLine | undefined {
  if (line.length === 0) return undefined
  if (line.length > MAX_LINE_BYTES) {
    return invalid(`the line has ${line.length} bytes; at most ${MAX_LINE_BYTES} are allowed`)
  }
  const text = decode(line)
  if (text === undefined) return invalid('must be UTF-8')
  if (BLANK.test(text)) return undefined
  const object = parseObject(text)
  if (!object) return invalid('must be a JSON object')
  const identified = parseSafely(Identified, object)
  const parsed = parseSafely(schema, object)
  if (identified.success && parsed.success) return { id: identified.data.id, fields: parsed.data }
  const issues = [...(identified.error?.issues ?? []), ...(parsed.error?.issues ?? [])]
  return { errors: issues.flatMap(toFieldErrors) }
}

function invalid(message: string): InvalidLine {
  return { errors: [{ path: '', message }] }
}

function pathAt(lineNumber: number, path: string): string {
  return path === '' ? `line ${lineNumber}` : `line ${lineNumber}: ${path}`
}

/**
 * `ignoreBOM: true` keeps byte order marks, so that a line that starts with one is rejected. linesOf() has already
 * removed the mark at the start of the body.
 */
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

function decode(line: Uint8Array): string | undefined {
  try {
    return decoder.decode(line)
  } catch {
    return undefined
  }
}

function parseObject(text: string): object | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? value : undefined
  } catch {
    return undefined
  }
}
