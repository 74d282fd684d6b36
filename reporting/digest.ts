import { hash } from 'node:crypto'

/** The size of a digest. */
export const DIGEST_BYTES = 16

/** Part of the SHA-256 of the UTF-16 of a text: UTF-8 cannot tell lone surrogates apart. */
export function toDigest(text: string): Buffer {
  return hash('sha256', Buffer.from(text, 'utf16le'), 'buffer').subarray(0, DIGEST_BYTES)
}

/** Identifies the view of a play in reports. Many plays may claim the same view. */
export function toReportKey({ viewId, assetId, userId }: { viewId: string; assetId: string; userId: string }): string {
  return toDigest(JSON.stringify([viewId, assetId, userId])).toString('base64url')
}

/** Identifies an event without a serial. Both stores use it, so that it can be copied from one to the other. */
export function toEventDigest(source: string, id: string): Buffer {
  return toDigest(`${source.length} ${source}${id}`)
}
