import { escapeLiteral } from 'pg'

/** The characters of ids, of digests in base64url, and of the separators in an array. */
const ARRAY_OF_IDS = /^[\w.@~",-]*$/

/**
 * Statements contain their values as literals, because they use the simple query protocol, which has no parameters.
 * Only this protocol runs several statements in one round trip and one transaction, as SET LOCAL requires.
 */
export function toLiteral(value: string | number | boolean | undefined): string {
  if (value === undefined) return 'null'
  return typeof value === 'string' ? escapeLiteral(value) : String(value)
}

/** An array of ids, which consist of ASCII letters, digits and `._@~-`. */
export function toIdArray(ids: readonly string[]): string {
  const text = ids.join('","')
  if (!ARRAY_OF_IDS.test(text)) throw new TypeError('an id contains an invalid character')
  return ids.length === 0 ? `'{}'::text[]` : `'{"${text}"}'::text[]`
}

export function toNumberArray(numbers: readonly number[]): string {
  return `'{${numbers.join(',')}}'::bigint[]`
}

/** An array of UUIDs. They must be valid, because they are not escaped. */
export function toUuidArray(uuids: readonly string[]): string {
  return `'{${uuids.join(',')}}'::uuid[]`
}

/** An array of texts that may contain any character but NUL. */
export function toTextArray(texts: readonly string[]): string {
  const elements = texts.map((text) => `"${text.replaceAll(/["\\]/g, String.raw`\$&`)}"`)
  return `${escapeLiteral(`{${elements.join(',')}}`)}::text[]`
}

/**
 * Encodes any text as JSON in printable ASCII: Postgres rejects NUL and lone surrogates, and the database's encoding
 * may lack other characters.
 */
export function toAscii(text: string): string {
  return JSON.stringify(text).replaceAll(/[^ -~]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
}

export function fromAscii(text: string): string {
  return String(JSON.parse(text))
}
