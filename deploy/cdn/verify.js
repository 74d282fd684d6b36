// Checks signed URLs, for nginx and for the Node edge in cdn/. This module must also run in Debian's njs 0.7.9, which
// supports neither for-of nor destructuring nor optional chaining.

// biome-ignore lint/style/useNodejsImportProtocol: njs does not support the prefix
import crypto from 'crypto'

const URL_FORM = /^\/([A-Za-z0-9][A-Za-z0-9_-]{0,31})\/([1-9][0-9]{0,9})\/([A-Za-z0-9_-]{43})\/([\x21-\x7e]+)$/
const MIN_SECRET = 16
const MAX_SEGMENTS = 32
const MAX_PLAYLIST_AGE = 60

/**
 * Checks a request target exactly as the client sent it, such as `/k1/1800000000/<signature>/clips/a.mp4`.
 * @param keys the secrets by key id
 * @param now in seconds since the Unix epoch
 * @returns 200 (accepted), 403, or 410 (expired)
 */
function verify(target, keys, now) {
  const url = parse(target)
  if (!url || !isPlain(url.path)) return 403
  if (!isSigned(url, secretOf(keys, url.keyId))) return 403
  return now < Number(url.expires) ? 200 : 410
}

/** @returns undefined unless the target has the form of a signed URL. The query is ignored. */
function parse(target) {
  const parts = URL_FORM.exec(target.split('?')[0])
  if (!parts || target.indexOf('#') >= 0) return undefined
  return { keyId: parts[1], expires: parts[2], signature: parts[3], path: parts[4] }
}

/** Ignores inherited properties of `keys`, and rejects empty or short secrets. */
function secretOf(keys, keyId) {
  const secret = Object.keys(keys).indexOf(keyId) >= 0 ? keys[keyId] : undefined
  return typeof secret === 'string' && secret.length >= MIN_SECRET ? secret : undefined
}

/** A signature covers the path, or everything in one of its directories. */
function isSigned(url, secret) {
  const segments = url.path.split('/')
  if (secret === undefined || segments.length > MAX_SEGMENTS) return false
  return segments.some((_, index) => {
    const scope = index === 0 ? url.path : `${segments.slice(0, index).join('/')}/`
    return isEqual(sign(secret, `${url.keyId}/${url.expires}/${scope}`), url.signature)
  })
}

function sign(secret, text) {
  return crypto.createHmac('sha256', secret).update(text).digest('base64url')
}

/** Compares in constant time. Both strings have the length of a signature. */
function isEqual(expected, actual) {
  let difference = expected.length ^ actual.length
  for (let index = 0; index < expected.length; index += 1) {
    difference |= expected.charCodeAt(index) ^ actual.charCodeAt(index)
  }
  return difference === 0
}

/** True if decoding the path would not change where segments begin or end, and no segment is empty, `.` or `..`. */
function isPlain(path) {
  return path.split('/').every((segment) => {
    if (/%(?![0-9A-Fa-f]{2})|%[01][0-9A-Fa-f]|%2[Ff]|%5[Cc]|%7[Ff]|[\\#]/.test(segment)) return false
    return !/^(\.|%2[Ee]){0,2}$/.test(segment)
  })
}

/**
 * How long clients may cache a response, in seconds: at most until its URL expires, and for playlists only briefly.
 * @returns 0 unless the target has the form of a signed URL
 */
function maxAge(target, now) {
  const url = parse(target)
  const remaining = url ? Math.max(0, Math.floor(Number(url.expires) - now)) : 0
  return url && /\.(m3u8|mpd)$/i.test(url.path) ? Math.min(MAX_PLAYLIST_AGE, remaining) : remaining
}

/** Returns the claimed key id and the path, for logs. The rest of a signed URL is secret. */
function describe(target) {
  const url = parse(target)
  return { keyId: url ? url.keyId : '-', path: url ? url.path : '-' }
}

// The functions below compute the variables of nginx.conf, which also loads `cdn_keys`.

function status(r) {
  return String(verify(r.variables.request_uri, cdn_keys, Date.now() / 1000))
}

function keyId(r) {
  return describe(r.variables.request_uri).keyId
}

function path(r) {
  return describe(r.variables.request_uri).path
}

function cacheControl(r) {
  return `public, max-age=${maxAge(r.variables.request_uri, Date.now() / 1000)}`
}

export default { verify, maxAge, describe, status, keyId, path, cacheControl }
