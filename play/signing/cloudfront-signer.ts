import { getSignedUrl } from '@aws-sdk/cloudfront-signer'
import type { Secret } from '../../shared/runtime/secret.ts'
import { isPlaylist, scopeOf, toCdnPath } from '../../shared/signing/cdn-path.ts'
import { type Signer, UnsignableError } from '../../shared/signing/signer.ts'

export type CloudFrontPolicy = 'canned' | 'custom'

export type CloudFrontKey = {
  keyPairId: string
  /** An RSA key in PEM. */
  privateKey: Secret
  /** `canned` covers only the URL. For a playlist, `custom` covers everything in its directory. */
  policy: CloudFrontPolicy
}

/**
 * Signs URLs for CloudFront. The signature is in the query, which a playlist's segments do not inherit
 * (https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/private-content-signed-urls.html).
 */
export function createCloudFrontSigner(baseUrl: string, { keyPairId, privateKey, policy }: CloudFrontKey): Signer {
  const { origin, pathname } = new URL(baseUrl)
  const base = `${origin}${encodeSegments(pathname.replace(/\/$/, ''))}`

  return {
    sign(asset, expires) {
      const { path, query, fragment } = toCdnPath(asset)
      const url = `${base}/${encodeSegments(path)}${query}`
      const key = { url, keyPairId, privateKey: privateKey.reveal() }
      const signed =
        policy === 'custom' && isPlaylist(path)
          ? getSignedUrl({ ...key, policy: toPolicy(directoryOf(base, path), expires) })
          : getSignedUrl({ ...key, dateLessThan: expires * 1_000 })
      return `${signed}${fragment}`
    },
  }
}

/** The resource that a custom policy covers for a playlist; `*` matches any text, and `?` any character. */
function directoryOf(base: string, path: string): string {
  const directory = `${base}/${encodeSegments(scopeOf(path))}`
  if (directory.includes('*')) throw new UnsignableError('a custom policy treats the "*" in the path as a wildcard')
  return `${directory}*`
}

/** Sets no start time, because CloudFront's clock may be behind. */
function toPolicy(resource: string, expires: number): string {
  return JSON.stringify({
    Statement: [{ Resource: resource, Condition: { DateLessThan: { 'AWS:EpochTime': expires } } }],
  })
}

/** Encodes a path as the library encodes a URL, because the library does not encode a custom policy's resource. */
function encodeSegments(path: string): string {
  try {
    return path.split('/').map(decodeURIComponent).map(encodeURIComponent).join('/')
  } catch (cause) {
    throw new UnsignableError('the path is not UTF-8', { cause })
  }
}
