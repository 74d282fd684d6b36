import { hasPlainSegments, splitRelativeUrl } from '../contracts/relative-url.ts'
import { UnsignableError } from './signer.ts'

/** Bounds the CDN's work: to verify a URL, the CDN computes the signature of each parent directory. */
const MAX_SEGMENTS = 32

type CdnPath = {
  /** Without a leading slash, percent-encoded the way that every client sends it. */
  path: string
  query: string
  fragment: string
}

/**
 * Converts a relative URL to the path that clients send. The path is in the normal form defined in RFC 3986, section
 * 6.2.2, so that no client or proxy changes it, and the CDN sees exactly the path that was signed.
 * @throws UnsignableError if servers may resolve the path to a different path, or if the path has too many segments
 */
export function toCdnPath(url: string): CdnPath {
  const { path, query, fragment } = splitRelativeUrl(url)
  if (!hasPlainSegments(path)) throw new UnsignableError('the path has an empty, "." or ".." segment')
  const normal = normalize(path.replace(/^\//, ''))
  if (normal.split('/').length > MAX_SEGMENTS) throw new UnsignableError(`the path has over ${MAX_SEGMENTS} segments`)
  return { path: normal, query, fragment }
}

/**
 * Returns what a signature covers: the path itself or, for a playlist, its directory, which also contains the files
 * that the playlist refers to.
 * @throws UnsignableError for a playlist that is not in a directory, because its signature would cover every file
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

/** Percent-encodes every character except unreserved characters, sub-delimiters, `:`, `@` and `/`. */
export function normalize(path: string): string {
  return path
    .toWellFormed()
    .replace(/%(?![0-9a-f]{2})/gi, '%25')
    .replace(/[^\w.~!$&'()*+,;=:@/%-]+/gu, encodeURIComponent)
    .replace(/%[0-9a-f]{2}/gi, normalizeOctet)
}

/** Decodes an unreserved character, which needs no encoding. Converts any other octet to upper case. */
function normalizeOctet(octet: string): string {
  const character = String.fromCharCode(Number.parseInt(octet.slice(1), 16))
  return /[\w.~-]/.test(character) ? character : octet.toUpperCase()
}
