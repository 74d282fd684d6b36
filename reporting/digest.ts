import { hash } from 'node:crypto'

export const DIGEST_BYTES = 16

/** All calls can share this buffer, because each call is synchronous. */
const scratch = Buffer.alloc(32)

/**
 * Returns the first bytes of a text's SHA-256. The text is encoded in UTF-16, because UTF-8 would encode all lone
 * surrogates alike.
 */
export function toDigest(text: string): Buffer {
  return Buffer.from(toDigestText(text), 'latin1')
}

/**
 * Returns the digest as a string in which each character is one byte. Creating a string takes half as long as creating
 * a Buffer. Unlike a slice of the hash, this string does not retain the whole hash.
 */
function toDigestText(text: string): string {
  scratch.write(hash('sha256', Buffer.from(text, 'utf16le'), 'binary'), 'latin1')
  return scratch.toString('latin1', 0, DIGEST_BYTES)
}

/**
 * Returns the key of the view that a watch-time report refers to. The key covers the asset and the user, because plays
 * of different assets, or by different users, may claim the same view id.
 */
export function toReportKey({ viewId, assetId, userId }: { viewId: string; assetId: string; userId: string }): string {
  return toDigest(JSON.stringify([viewId, assetId, userId])).toString('base64url')
}

/**
 * Identifies an event without a serial, as a string in which each character is one byte. The in-memory store and
 * Postgres use the same digests, so that digests can be copied from one store to the other.
 */
export function toEventDigest(source: string, id: string): string {
  return toDigestText(`${source.length} ${source}${id}`)
}
