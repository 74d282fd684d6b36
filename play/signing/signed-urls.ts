import { LRUCache } from 'lru-cache'
import { isAbsolute } from '../../shared/contracts/cdn-url.ts'
import { normalize } from '../../shared/signing/cdn-path.ts'
import type { Signer } from '../../shared/signing/signer.ts'

/** Long enough for shared caches to have the same URL for many viewers. */
const MAX_WINDOW_S = 300

/** The URL of an asset for players, at any time. */
export type PlayerUrl = () => string

type Options = {
  signer: Signer
  /** Relative URLs whose path begins with one of these are signed; undefined: all of them. */
  prefixes: readonly string[] | undefined
  /** The minimum time that a URL remains valid. */
  ttlMs: number
  /** Maximum number of URLs to remember. */
  max: number
  now?: () => number
}

type Signed = { url: string; from: number; until: number }

/**
 * Returns a function from stored URLs to those for players. A URL is signed once per window of time, and then costs a
 * comparison of the clock. All URLs of a window expire at the same time, so that caches see one URL per asset.
 */
export function createSignedUrls({ signer, prefixes, ttlMs, max, now = Date.now }: Options) {
  const ttl = ttlMs / 1_000
  const window = toWindow(ttlMs)
  const signedUrls = new LRUCache<string, Signed>({ max })

  function signAt(url: string, time: number): Signed {
    const expires = Math.ceil((time / 1_000 + ttl) / window) * window
    const until = (expires - ttl) * 1_000
    return { url: signer.sign(url, expires), from: until - window * 1_000, until }
  }

  /** Remembers signatures, because the asset cache loads an asset several times in a window. */
  function find(url: string, time: number): Signed {
    const known = signedUrls.get(url)
    if (known && isCurrent(known, time)) return known
    const signed = signAt(url, time)
    signedUrls.set(url, signed)
    return signed
  }

  /** @throws UnsignableError */
  return function toPlayerUrl(url: string): PlayerUrl {
    if (isAbsolute(url) || !hasPrefix(url, prefixes)) return () => url
    let signed = find(url, now())
    return () => {
      const time = now()
      if (!isCurrent(signed, time)) signed = find(url, time)
      return signed.url
    }
  }
}

/** `from` matters after the clock was set back: the URL would live longer than intended. */
function isCurrent({ from, until }: Signed, time: number): boolean {
  return time > from && time <= until
}

/** The times at which URLs expire are multiples of this, in whole seconds. */
function toWindow(ttlMs: number): number {
  return Math.max(1, Math.floor(Math.min(MAX_WINDOW_S, ttlMs / 10_000)))
}

function hasPrefix(url: string, prefixes: readonly string[] | undefined): boolean {
  if (!prefixes) return true
  const path = normalize(url.replace(/^\//, ''))
  return prefixes.some((prefix) => path.startsWith(prefix))
}
