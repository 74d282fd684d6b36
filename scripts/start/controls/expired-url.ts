import type { SigningKey } from '../../../shared/runtime/signing-keys.ts'
import { createHmacSigner } from '../../../shared/signing/hmac-signer.ts'
import { UnsignableError } from '../../../shared/signing/signer.ts'
import { readCdnStatus } from '../../http.ts'

const EXPIRED_S = 60
const VALID_S = 60
/** A clip from the demo catalogue. */
const CLIP = 'clips/orbits/index.m3u8'

/** A URL with an expiry in the past, and its `status`. `statusBefore` is the status of the original URL. */
export type ExpiredUrl = { url: string; status: number; statusBefore: number; command: string }

/**
 * Creates a function that signs a CDN URL again, with an expiry in the past. By default, it signs a clip's URL. It
 * returns undefined if the URL is not a signed URL for this CDN.
 */
export function createExpirer(baseUrl: string, key: SigningKey) {
  const signer = createHmacSigner(baseUrl, key)
  return async function expire(given = signer.sign(CLIP, toExpiry(VALID_S))): Promise<ExpiredUrl | undefined> {
    const [, path] = given.startsWith(`${baseUrl}/`)
      ? (/^(?:[^/]+\/){3}(.+)$/.exec(given.slice(baseUrl.length + 1)) ?? [])
      : []
    if (path === undefined) return undefined
    try {
      const url = signer.sign(path, toExpiry(-EXPIRED_S))
      const [statusBefore, status] = await Promise.all([readCdnStatus(given), readCdnStatus(url)])
      return { url, status, statusBefore, command: `curl -I '${url}'` }
    } catch (error) {
      if (error instanceof UnsignableError) return undefined
      throw error
    }
  }
}

/** @param seconds from now */
function toExpiry(seconds: number): number {
  return Math.floor(Date.now() / 1_000) + seconds
}
