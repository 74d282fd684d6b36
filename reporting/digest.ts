import { hash } from 'node:crypto'

/** The size of a digest. */
export const DIGEST_BYTES = 16

/** Only used within one synchronous call. */
const scratch = Buffer.alloc(32)

/** The first bytes of the SHA-256 of a text in UTF-16, because UTF-8 cannot tell lone surrogates apart. */
export function toDigest(text: string): Buffer {
  return Buffer.from(toDigestText(text), 'latin1')
}

/**
 * Each character is one byte of the digest. Creating a string takes half as long as creating a Buffer. This string does
 * not retain the whole hash, as a slice of the hash would.
 */
function toDigestText(text: string): string {
  scratch.write(hash('sha256', Buffer.from(text, 'utf16le'), 'binary'), 'latin1')
  return scratch.toString('latin1', 0, DIGEST_BYTES)
}

/** Identifies the view of a play in reports. Many plays may claim the same view. */
export function toReportKey({ viewId, assetId, userId }: { viewId: string; assetId: string; userId: string }): string {
  return toDigest(JSON.stringify([viewId, assetId, userId])).toString('base64url')
}

/**
 * Identifies an event without a serial; each character is one byte. Both stores use the same digests, so that a digest
 * can be copied from one store to the other.
 */
export function toEventDigest(source: string, id: string): string {
  return toDigestText(`${source.length} ${source}${id}`)
}
