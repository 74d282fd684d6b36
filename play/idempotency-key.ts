import { hash } from 'node:crypto'
import type { Context } from 'hono'
import { z } from 'zod'
import type { AppEnv } from '../shared/http/app-env.ts'

const HEADER_NAME = 'idempotency-key'

/** A string as defined in RFC 8941, section 3.3.3, with 1 to 255 characters. */
const KEY = /^"((?:[ !#-[\]-~]|\\["\\]){1,255})"$/

const IdempotencyKey = z
  .string()
  .regex(KEY, { error: 'must be a string in double quotes, with 1 to 255 printable ASCII characters' })
  .transform((text) => text.slice(1, -1).replaceAll(/\\(.)/g, '$1'))

/**
 * Parses a request's `Idempotency-Key` header, and removes the quotes; returns undefined if there is no header.
 * https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/07/
 * @returns the result of Zod's `safeParse`, with an error if the header is malformed or repeated
 */
export function idempotencyKeyOf(c: Context<AppEnv>) {
  const lines = headerLinesOf(c)
  if (lines.length === 0) return undefined
  // Parse a repeated header as '', which is invalid, because malformed lines could form a valid string once joined.
  return IdempotencyKey.safeParse(lines.length === 1 ? lines[0] : '')
}

/** Returns the lines of a repeated header separately, although Node joins them with commas by default. */
function headerLinesOf(c: Context<AppEnv>): string[] {
  const incoming = c.env?.incoming
  if (incoming) return incoming.headers[HEADER_NAME] === undefined ? [] : (incoming.headersDistinct[HEADER_NAME] ?? [])
  const value = c.req.header(HEADER_NAME)
  return value === undefined ? [] : [value]
}

/** Documents the header in OpenAPI. */
export const IDEMPOTENCY_KEY = {
  in: 'header' as const,
  name: 'Idempotency-Key',
  description:
    "Identifies one of the user's plays: a retry with the same key within 24 hours counts as the same view. A string in double quotes, with 1 to 255 printable ASCII characters",
  schema: { type: 'string' as const, pattern: KEY.source, examples: ['"8e03978e-40d5-43dd-bc93-6894a57f9324"'] },
}

/**
 * Derives a play's event id from its idempotency key, in the same way on every edge: a version 8 UUID (RFC 9562) from
 * the first 16 bytes of SHA-256 over the user id and the key, each preceded by its length and a colon.
 */
export function toEventId(userId: string, key: string): string {
  const bytes = hash('sha256', `${userId.length}:${userId}${key.length}:${key}`, 'buffer').subarray(0, 16)
  bytes.writeUInt8((bytes.readUInt8(6) & 0x0f) | 0x80, 6)
  bytes.writeUInt8((bytes.readUInt8(8) & 0x3f) | 0x80, 8)
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-')
}
