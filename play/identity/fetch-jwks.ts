import type { Readable } from 'node:stream'
import { request } from 'undici'

const MAX_BYTES = 256 * 1024

/** The response body, and its `max-age` in milliseconds, if the provider sends one. */
export type FetchedJwks = { text: string; maxAgeMs: number | undefined }

/**
 * Fetches a JWK Set. Follows no redirects.
 * @throws Error for any status but 200, and for a body over 256 KiB
 */
export async function fetchJwks(url: string, signal: AbortSignal): Promise<FetchedJwks> {
  const accept = 'application/jwk-set+json, application/json'
  // Fetches are minutes apart, so the connection is not kept open.
  const { statusCode, headers, body } = await request(url, { headers: { accept }, signal, reset: true })
  try {
    if (statusCode !== 200) throw new Error(`the provider returned ${statusCode}`)
    return { text: await readText(body), maxAgeMs: maxAgeOf(headers['cache-control']) }
  } finally {
    // Closes the connection if the body was not read to its end. The error that the stream then emits is ignored.
    body.on('error', () => {}).destroy()
  }
}

async function readText(body: Readable): Promise<string> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of body) {
    bytes += chunk.length
    if (bytes > MAX_BYTES) throw new Error(`the response is larger than ${MAX_BYTES} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString()
}

/** The `max-age` in a `cache-control` header (RFC 9111, section 5.2.2.1). */
function maxAgeOf(header: string | string[] | undefined): number | undefined {
  const [, seconds] = /(?:^|[\s,])max-age=(\d{1,9})(?![^\s,])/i.exec([header ?? []].flat().join()) ?? []
  return seconds === undefined ? undefined : Number(seconds) * 1_000
}
