import { createHash, randomUUID, timingSafeEqual } from 'node:crypto'
import type { MiddlewareHandler } from 'hono'
import { z } from 'zod'
import { UsageError } from '../runtime/command-line.ts'
import type { Logger } from '../runtime/log.ts'
import { isLoopback } from '../runtime/loopback.ts'
import type { AppEnv } from './app-env.ts'
import { problem } from './errors.ts'

/** The bearer token that a service requires for writes, or sends with its own writes. */
export const writeToken = z
  .string()
  .regex(/^[\x21-\x7e]+$/, { error: 'must be printable ASCII without spaces' })
  .optional()
  .meta({ description: 'Token that writes require (authorization: Bearer …)' })

/** Settings for services that accept writes. */
export const writeSettings = {
  WRITE_TOKEN: writeToken,
  ALLOW_OPEN_WRITES: z
    .enum(['0', '1'], { error: 'must be 1 or 0' })
    .default('0')
    .transform((text) => text === '1')
    .meta({ description: 'Allow listening beyond loopback without a WRITE_TOKEN' }),
}

type WriteSettings = z.output<z.ZodObject<typeof writeSettings>> & { HOST: string }

/**
 * Prevents writes from being open to a network by accident.
 * @throws UsageError
 */
export function assertWritesProtected(settings: WriteSettings, log: Logger): void {
  const { WRITE_TOKEN, ALLOW_OPEN_WRITES, HOST } = settings
  if (!WRITE_TOKEN && !ALLOW_OPEN_WRITES && !isLoopback(HOST)) {
    throw new UsageError(
      `HOST is "${HOST}": anyone who can reach it could write; set WRITE_TOKEN, or ALLOW_OPEN_WRITES=1 to allow that`,
    )
  }
  warnIfUnprotected(settings, log)
}

/**
 * The token that reading private data requires. Without WRITE_TOKEN and ALLOW_OPEN_WRITES, a service that listens
 * beyond loopback gets a random token that nobody knows, so that the data is not open to the network.
 */
export function privateToken({ WRITE_TOKEN, ALLOW_OPEN_WRITES, HOST }: WriteSettings): string | undefined {
  return WRITE_TOKEN ?? (ALLOW_OPEN_WRITES || isLoopback(HOST) ? undefined : randomUUID())
}

/** Warns if the service listens beyond loopback without a token. Its upstreams then have no token either. */
export function warnIfUnprotected({ WRITE_TOKEN, HOST }: Omit<WriteSettings, 'ALLOW_OPEN_WRITES'>, log: Logger): void {
  if (WRITE_TOKEN || isLoopback(HOST)) return
  log.warn(
    { host: HOST },
    'listening beyond loopback without a WRITE_TOKEN: anyone who can reach the services can write',
  )
}

/** Requires the token (RFC 6750), if there is one; otherwise returns 401. */
export function requireWriteToken(token: string | undefined): MiddlewareHandler<AppEnv> {
  if (!token) return (_, next) => next()
  const isAllowed = createBearerCheck(token)
  return async function requireWriteToken(c, next) {
    if (!isAllowed(c.req.header('authorization'))) {
      c.header('www-authenticate', 'Bearer')
      return problem(c, 401, [{ path: 'authorization', message: 'send the header authorization: Bearer <token>' }])
    }
    await next()
  }
}

/** Compares `authorization` headers with a token, in constant time. */
export function createBearerCheck(token: string): (authorization: string | undefined) => boolean {
  const expected = digest(`Bearer ${token}`)
  // The constant-time comparison requires inputs of equal length.
  return (given = '') => timingSafeEqual(digest(given.replace(/^bearer /i, 'Bearer ')), expected)
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}
