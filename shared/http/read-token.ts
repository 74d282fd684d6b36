import type { MiddlewareHandler } from 'hono'
import type { Secret } from '../runtime/secret.ts'
import { optionalSecret } from '../runtime/secret-settings.ts'
import type { AppEnv } from './app-env.ts'
import { createBearerCheck, rejectToken, type WriteToken } from './write-token.ts'

const FORM = /^[\x21-\x7e]{16,}$/

/** The bearer token for reads that name users. */
export const readToken = optionalSecret(
  'Token for reads that name users (authorization: Bearer …)',
  (text) => FORM.test(text),
  'must be at least 16 characters of printable ASCII without spaces',
)

/** Lets requests with one of these tokens pass, and hands all others to `otherwise`. */
export function allowTokens<Env extends object>(
  tokens: readonly Secret[],
  otherwise: MiddlewareHandler<Env>,
): MiddlewareHandler<Env> {
  if (tokens.length === 0) return otherwise
  const isReader = createBearerCheck(tokens)
  return async function allowTokens(c, next) {
    return isReader(c.req.header('authorization')) ? next() : otherwise(c, next)
  }
}

/** If a read token is set, returns 401 to requests with neither the read token nor a write token (RFC 6750). */
export function requireReadToken(read: Secret | undefined, write: WriteToken | undefined): MiddlewareHandler<AppEnv> {
  if (!read) return (_, next) => next()
  return allowTokens([read, ...(write?.accepted ?? [])], async (c) => rejectToken(c))
}
