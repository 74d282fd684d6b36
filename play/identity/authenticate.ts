import type { Context, MiddlewareHandler, Next } from 'hono'
import { LRUCache } from 'lru-cache'
import { problem } from '../../shared/http/errors.ts'
import { headerOf } from '../../shared/http/request-context.ts'
import type { PlayEnv, Viewer } from '../play-env.ts'
import { type Rejection, rejections, TokenRejected } from './rejections.ts'
import type { VerifyToken } from './verify-token.ts'

/** How long a verified token is trusted before it is verified again. */
const CACHE_MS = 60_000
const MAX_TOKENS = 20_000
/** The maximum total length of the cached tokens, in characters. Bounds the memory that long tokens take. */
const MAX_CACHED_LENGTH = 32 * 1024 * 1024

/** `until` is a timestamp from `performance.now()`. */
type CachedToken = { viewer: Viewer; until: number }

type Deps = { verify: VerifyToken; onRejected: (rejection: Rejection) => void }

/**
 * Authenticates the user by a bearer token (RFC 6750), and sets `viewer`. A token that was verified in the last minute
 * costs only a cache lookup. The cache key is the header itself, because hashing a string for the lookup takes only a
 * fifth as long as computing a cryptographic digest.
 */
export function createAuthenticate({ verify, onRejected }: Deps): MiddlewareHandler<PlayEnv> {
  const cached = new LRUCache<string, CachedToken>({
    max: MAX_TOKENS,
    maxSize: MAX_CACHED_LENGTH,
    sizeCalculation: (_, authorization) => authorization.length,
  })

  async function verifyAndContinue(c: Context<PlayEnv>, next: Next, authorization: string | undefined) {
    if (authorization?.includes(',') && isRepeated(c)) return reject(c, 'repeated', onRejected)
    const token = bearerTokenOf(authorization)
    if (authorization === undefined || token === undefined) return reject(c, 'missing', onRejected)
    try {
      const { viewer, exp } = await verify(token)
      const freshMs = Math.min(CACHE_MS, exp * 1_000 - Date.now())
      if (freshMs > 0) cached.set(authorization, { viewer, until: performance.now() + freshMs })
      c.set('viewer', viewer)
    } catch (error) {
      if (error instanceof TokenRejected) return reject(c, error.rejection, onRejected)
      throw error
    }
    return next()
  }

  return function authenticate(c, next) {
    const authorization = headerOf(c, 'authorization')
    const found = authorization === undefined ? undefined : cached.get(authorization)
    if (!found || found.until <= performance.now()) return verifyAndContinue(c, next, authorization)
    c.set('viewer', found.viewer)
    return next()
  }
}

/** Responds with 403 to requests that name another user. */
export function requireOwnId(deps: Pick<Deps, 'onRejected'>): MiddlewareHandler<PlayEnv> {
  const rejectOtherUser = rejectOther(deps)
  return async function requireOwnId(c, next) {
    return rejectOtherUser(c, c.req.param('userId')) ?? next()
  }
}

/** @returns a function that responds with 403 if the id is not `viewer.id`, and otherwise returns undefined */
export function rejectOther({ onRejected }: Pick<Deps, 'onRejected'>) {
  return (c: Context<PlayEnv>, userId: string | undefined) =>
    userId === c.get('viewer')?.id ? undefined : reject(c, 'user', onRejected)
}

/**
 * Rejects a request because of its token. A 403 has no challenge, because `insufficient_scope` would make clients
 * request another token, and no token for this user would help.
 */
async function reject(c: Context<PlayEnv>, rejection: Rejection, onRejected: Deps['onRejected']): Promise<Response> {
  const { status, text } = rejections[rejection]
  onRejected(rejection)
  if (status !== 403) c.header('www-authenticate', toChallenge(rejection))
  return problem(c, status, [{ path: rejection === 'user' ? 'userId' : 'authorization', message: text }])
}

/** https://www.rfc-editor.org/rfc/rfc6750#section-3 */
function toChallenge(rejection: Rejection): string {
  if (rejection === 'missing') return 'Bearer'
  const { status, text } = rejections[rejection]
  return `Bearer error="${status === 400 ? 'invalid_request' : 'invalid_token'}", error_description="${text}"`
}

/** A comma alone does not prove a repeated header: Node joins the lines with commas, but some schemes use them too. */
function isRepeated(c: Context<PlayEnv>): boolean {
  return (c.env?.incoming?.headersDistinct.authorization?.length ?? 0) > 1
}

/** Returns undefined unless the scheme is Bearer. Scheme names are case-insensitive (RFC 9110, section 11.1). */
function bearerTokenOf(authorization = ''): string | undefined {
  return /^bearer(?: +(.*))?$/i.exec(authorization)?.[1]
}
