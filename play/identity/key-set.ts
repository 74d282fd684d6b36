import { createLocalJWKSet, importJWK, type JWK, type JWTVerifyGetKey } from 'jose'
import { z } from 'zod'

/** The accepted signature algorithms. The algorithm must match the key, because a token can name any algorithm. */
export const ALGORITHMS = ['RS256', 'ES256', 'EdDSA']

const MAX_KEYS = 100
const MIN_RSA_BITS = 2_048

/** Finds a token's key by the algorithm and `kid` in its header. */
export type KeySet = JWTVerifyGetKey

const Jwks = z.object({
  keys: z
    .array(z.looseObject({ kty: z.string() }))
    .min(1)
    .max(MAX_KEYS),
})

/** Members of private and symmetric keys (RFC 7518, sections 6.2.2, 6.3.2 and 6.4). */
const PRIVATE = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k']

/**
 * Parses a JWK Set (RFC 7517). Ignores keys that are not for signatures, or not for one of the accepted algorithms.
 * @throws Error if the set is malformed, has no usable key, or reveals a private or symmetric key, with which anyone
 * could sign tokens
 */
export async function parseKeySet(text: string): Promise<KeySet> {
  const { data } = Jwks.safeParse(parseJson(text))
  if (!data) throw new Error('the response is not a JWK Set')
  const isPrivate = (jwk: object) => PRIVATE.some((member) => member in jwk)
  if (data.keys.some((jwk) => jwk.kty === 'oct' || isPrivate(jwk))) {
    throw new Error('the JWK Set contains a private or symmetric key')
  }
  const keys: JWK[] = []
  for (const jwk of data.keys) if (await isUsable(jwk)) keys.push(jwk)
  if (keys.length === 0) throw new Error('the JWK Set has no usable key')
  return createLocalJWKSet({ keys })
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw new Error('the response is not JSON')
  }
}

async function isUsable(jwk: JWK): Promise<boolean> {
  const algorithm = algorithmOf(jwk)
  if (!algorithm || (jwk.alg ?? algorithm) !== algorithm || (jwk.use ?? 'sig') !== 'sig') return false
  try {
    const key = await importJWK(jwk, algorithm)
    if (key instanceof Uint8Array) return false
    const { modulusLength = MIN_RSA_BITS } = z.object({ modulusLength: z.number().optional() }).parse(key.algorithm)
    return modulusLength >= MIN_RSA_BITS
  } catch {
    return false
  }
}

function algorithmOf({ kty, crv }: JWK): string | undefined {
  if (kty === 'RSA') return 'RS256'
  if (kty === 'EC' && crv === 'P-256') return 'ES256'
  return kty === 'OKP' && crv === 'Ed25519' ? 'EdDSA' : undefined
}
