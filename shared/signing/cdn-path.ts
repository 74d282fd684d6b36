import { hasPlainSegments, splitRelativeUrl } from '../contracts/relative-url.ts'
import { UnsignableError } from './signer.ts'

/** Bounds the work of the CDN, which computes the signature of each parent directory to verify a URL. */
const MAX_SEGMENTS = 32

export type CdnPath = {
  /** Has no leading slash, and is encoded as every client sends it. */
  path: string
  query: string
  fragment: string
}

/**
 * The path that clients send for a relative URL. It is in the normal form of RFC 3986, section 6.2.2, so that no client
 * or proxy changes it, and the CDN sees exactly the path that was signed.
 * @throws UnsignableError if servers may resolve the path to a different one
 */
export function toCdnPath(url: string): CdnPath {
  const { path, query, fragment } = splitRelativeUrl(url)
  if (!hasPlainSegments(path)) throw new UnsignableError('the path has an empty, "." or ".." segment')
  const normal = normalize(path.replace(/^\//, ''))
  if (normal.split('/').length > MAX_SEGMENTS) throw new UnsignableError(`the path has over ${MAX_SEGMENTS} segments`)
  return { path: normal, query, fragment }
}

/**
 * The scope of a signature: the path, or for a playlist its directory, which also contains the files that the playlist
 * refers to.
 * @throws UnsignableError for a playlist outside of a directory, because its signature would cover every file
 */
export function scopeOf(path: string): string {
  if (!isPlaylist(path)) return path
  const directory = path.slice(0, path.lastIndexOf('/') + 1)
  if (directory === '') throw new UnsignableError('a playlist must be in a directory')
  return directory
}

export function isPlaylist(path: string): boolean {
  return /\.(m3u8|mpd)$/i.test(path)
}

/** Percent-encodes all but unreserved characters, sub-delimiters, `:`, `@` and `/`. */
export function normalize(path: string): string {
  return path
    .toWellFormed()
    .replace(/%(?![0-9a-f]{2})/gi, '%25')
    .replace(/[^\w.~!$&'()*+,;=:@/%-]+/gu, encodeURIComponent)
    .replace(/%[0-9a-f]{2}/gi, normalizeOctet)
}

/** Unreserved characters need no encoding. */
function normalizeOctet(octet: string): string {
  const character = String.fromCharCode(Number.parseInt(octet.slice(1), 16))
  return /[\w.~-]/.test(character) ? character : octet.toUpperCase()
}
