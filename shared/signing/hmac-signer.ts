import { createHmac } from 'node:crypto'
import type { SigningKey } from '../runtime/signing-keys.ts'
import { scopeOf, toCdnPath } from './cdn-path.ts'
import type { Signer } from './signer.ts'

/**
 * Signs URLs as `<base>/<kid>/<expires>/<signature>/<path>`. The signature precedes the path, so that relative URLs in
 * a playlist inherit it.
 */
export function createHmacSigner(baseUrl: string, { id, secret }: SigningKey): Signer {
  return {
    sign(url, expires) {
      const { path, query, fragment } = toCdnPath(url)
      const signature = hmacSha256(secret.reveal(), `${id}/${expires}/${scopeOf(path)}`)
      return `${baseUrl}/${id}/${expires}/${signature}/${path}${query}${fragment}`
    },
  }
}

/** HMAC-SHA256 (RFC 2104) in base64url without padding. */
export function hmacSha256(secret: string | Uint8Array, data: string | Uint8Array): string {
  return createHmac('sha256', secret).update(data).digest('base64url')
}
