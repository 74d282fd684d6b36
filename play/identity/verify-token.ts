import { decodeJwt, errors, type JWTPayload, type JWTVerifyGetKey, jwtVerify } from 'jose'
import { UserId } from '../../shared/contracts/ids.ts'
import { UnavailableError } from '../../shared/runtime/unavailable-error.ts'
import type { Viewer } from '../play-env.ts'
import type { JwksCache } from './jwks-cache.ts'
import { ALGORITHMS } from './key-set.ts'
import { type Rejection, TokenRejected } from './rejections.ts'
import type { Provider } from './settings.ts'

/** Tolerated clock skew, in seconds. */
const TOLERANCE_S = 5
const MAX_LENGTH = 8_192
/** The compact serialization (RFC 7515, section 7.1). jose would also accept text with spaces. */
const COMPACT = /^[\w-]+\.[\w-]+\.[\w-]*$/
/** Each verification takes up to 0.3 ms of CPU time, so a higher limit would only lengthen the queue. */
const MAX_IN_FLIGHT = 256

/** A verified token. `exp` is its expiry in seconds since 1970. */
export type Verified = { viewer: Viewer; exp: number }

/**
 * Verifies a JWT (RFC 7519, RFC 8725).
 * @throws TokenRejected, or UnavailableError if the keys are unavailable or too many tokens are being verified
 */
export type VerifyToken = (token: string) => Promise<Verified>

type Deps = Pick<Provider, 'issuer' | 'audience'> & { jwks: Pick<JwksCache, 'keys' | 'refresh'> }

export function createTokenVerifier({ jwks, issuer, audience }: Deps): VerifyToken {
  let inFlight = 0
  const options = {
    algorithms: ALGORITHMS,
    issuer,
    audience,
    clockTolerance: TOLERANCE_S,
  }

  async function verifyWith(token: string, keys: JWTVerifyGetKey): Promise<Verified> {
    if (inFlight >= MAX_IN_FLIGHT) throw new UnavailableError('too many tokens are being verified')
    inFlight += 1
    try {
      return toVerified((await jwtVerify(token, keys, options)).payload)
    } finally {
      inFlight -= 1
    }
  }

  function keysOrThrow(): JWTVerifyGetKey {
    const keys = jwks.keys()
    if (!keys) throw new UnavailableError("the identity provider's keys are unavailable")
    return keys
  }

  async function verify(token: string): Promise<Verified> {
    const keys = keysOrThrow()
    refuseExpired(token)
    try {
      return await verifyWith(token, keys)
    } catch (error) {
      if (!(error instanceof errors.JWKSNoMatchingKey)) throw error
      await jwks.refresh()
      if (jwks.keys() === keys) throw error
    }
    return verifyWith(token, keysOrThrow())
  }

  return async function verifyToken(token) {
    if (token.length > MAX_LENGTH) throw new TokenRejected('too-long')
    if (!COMPACT.test(token)) throw new TokenRejected('malformed')
    try {
      return await verify(token)
    } catch (error) {
      if (error instanceof TokenRejected || error instanceof UnavailableError) throw error
      throw new TokenRejected(toRejection(error))
    }
  }
}

/**
 * Rejects expired tokens without a costly signature check, because players that cannot renew a token keep retrying with
 * the expired one.
 */
function refuseExpired(token: string): void {
  const { exp } = decodeJwt(token)
  if (typeof exp === 'number' && exp <= Date.now() / 1_000 - TOLERANCE_S) throw new TokenRejected('expired')
}

function toVerified({ sub, exp, plan }: JWTPayload): Verified {
  if (typeof sub !== 'string' || exp === undefined) throw new TokenRejected('claims')
  const id = UserId.safeParse(sub)
  if (!id.success) throw new TokenRejected('subject')
  return { viewer: { id: id.data, ...(typeof plan === 'string' && { plan }) }, exp }
}

const rejectionsByClaim: Record<string, Rejection> = { iss: 'issuer', aud: 'audience', nbf: 'not-yet-valid' }

function toRejection(error: unknown): Rejection {
  if (error instanceof errors.JWTExpired) return 'expired'
  if (error instanceof errors.JWTClaimValidationFailed) {
    return error.reason === 'invalid' ? 'claims' : (rejectionsByClaim[error.claim] ?? 'claims')
  }
  if (error instanceof errors.JOSEAlgNotAllowed) return 'algorithm'
  if (error instanceof errors.JWSSignatureVerificationFailed) return 'signature'
  if (error instanceof errors.JWKSNoMatchingKey || error instanceof errors.JWKSMultipleMatchingKeys) return 'key'
  return 'malformed'
}
