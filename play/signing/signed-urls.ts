import { LRUCache } from 'lru-cache'
import { isAbsolute } from '../../shared/contracts/cdn-url.ts'
import { normalize } from '../../shared/signing/cdn-path.ts'
import type { Signer } from '../../shared/signing/signer.ts'

/** Long enough that many viewers get the same URL, which shared caches can then serve. */
const MAX_WINDOW_S = 300

/** Returns an asset's URL for players, valid at the time of the call. */
export type PlayerUrl = () => string

type Options = {
  signer: Signer
  /** Relative URLs whose path begins with one of these are signed; if undefined, all relative URLs are signed. */
  prefixes: readonly string[] | undefined
  /** The minimum time that a URL remains valid. */
  ttlMs: number
  /** Maximum number of URLs to remember. */
  max: number
  now?: () => number
}

type Signed = { url: string; from: number; until: number }

/**
 * Returns a function that turns stored URLs into URLs for players. A URL is signed once per time window; all other
 * reads only check the clock. All URLs in a window expire at the same time, so that caches see one URL per asset.
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

  /** Reuses signatures, because the asset cache loads an asset several times per window. */
  function find(url: string, time: number): Signed {
    const cached = signedUrls.get(url)
    if (cached && isCurrent(cached, time)) return cached
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

/** Checks `from` too: a URL that was signed before the clock was set back would be valid for longer than intended. */
function isCurrent({ from, until }: Signed, time: number): boolean {
  return time > from && time <= until
}

/** The length of a window in whole seconds. URLs expire at multiples of it. */
function toWindow(ttlMs: number): number {
  return Math.max(1, Math.floor(Math.min(MAX_WINDOW_S, ttlMs / 10_000)))
}

function hasPrefix(url: string, prefixes: readonly string[] | undefined): boolean {
  if (!prefixes) return true
  const path = normalize(url.replace(/^\//, ''))
  return prefixes.some((prefix) => path.startsWith(prefix))
}
