import { hash, randomUUID, timingSafeEqual } from 'node:crypto'
import type { Context, MiddlewareHandler } from 'hono'
import { z } from 'zod'
import { UsageError } from '../runtime/command-line.ts'
import type { Logger } from '../runtime/log.ts'
import { isLoopback } from '../runtime/loopback.ts'
import { type Secret, toSecret } from '../runtime/secret.ts'
import { secretMeta } from '../runtime/secret-settings.ts'
import type { AppEnv } from './app-env.ts'
import { problem } from './errors.ts'

/** Minimum length of a token if the service listens beyond loopback, where others can try to guess it. */
const MIN_LENGTH = 16

/** The bearer token that a service sends with its own writes, and the tokens that it accepts. */
export type WriteToken = { sent: Secret; accepted: readonly Secret[] }

export const writeToken = z
  .string()
  .regex(/^[\x21-\x7e]+( [\x21-\x7e]+)?$/, {
    error: 'must be printable ASCII: one token, or two tokens separated by one space',
  })
  .transform(toWriteToken)
  .optional()
  .meta(
    secretMeta(
      'Token that writes require (authorization: Bearer …); or two tokens, separated by a space: both are accepted, and the first one is sent',
    ),
  )

/** @param text a token, or two during a rotation: both are accepted, and the first one is sent */
export function toWriteToken(text: string): WriteToken {
  const [sent = toSecret(text), ...others] = text.split(' ').map((token) => toSecret(token))
  return { sent, accepted: [sent, ...others] }
}

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
 * @throws UsageError if writes would be open, or the token is too short
 */
export function assertWritesProtected(settings: WriteSettings, log: Logger): void {
  const { WRITE_TOKEN, ALLOW_OPEN_WRITES, HOST } = settings
  if (!WRITE_TOKEN && !ALLOW_OPEN_WRITES && !isLoopback(HOST)) {
    throw new UsageError(
      `HOST is "${HOST}": anyone who can reach it could write; set WRITE_TOKEN, or ALLOW_OPEN_WRITES=1 to allow that`,
    )
  }
  checkWriteToken(settings, log)
}

/**
 * The token required to read private data. Without WRITE_TOKEN and ALLOW_OPEN_WRITES, a service that listens beyond
 * loopback gets a random token that nobody knows, so that the data is not open to the network.
 */
export function privateToken({ WRITE_TOKEN, ALLOW_OPEN_WRITES, HOST }: WriteSettings): WriteToken | undefined {
  return WRITE_TOKEN ?? (ALLOW_OPEN_WRITES || isLoopback(HOST) ? undefined : toWriteToken(randomUUID()))
}

/**
 * Warns if the service listens beyond loopback without a token: its upstreams then accept writes without a token too.
 * @throws UsageError if it listens beyond loopback with a short token
 */
export function checkWriteToken({ WRITE_TOKEN, HOST }: Omit<WriteSettings, 'ALLOW_OPEN_WRITES'>, log: Logger): void {
  if (isLoopback(HOST)) return
  if (WRITE_TOKEN?.accepted.some((token) => token.reveal().length < MIN_LENGTH)) {
    throw new UsageError(
      `WRITE_TOKEN is too short: with HOST "${HOST}", it must have at least ${MIN_LENGTH} characters`,
    )
  }
  if (WRITE_TOKEN) return
  log.warn(
    { host: HOST },
    'listening beyond loopback without a WRITE_TOKEN: anyone who can reach the services can write',
  )
}

/** If tokens are set, returns 401 to requests without one of the accepted tokens (RFC 6750). */
export function requireWriteToken(token: WriteToken | undefined): MiddlewareHandler<AppEnv> {
  if (!token) return (_, next) => next()
  const isAllowed = createBearerCheck(token.accepted)
  return async function requireWriteToken(c, next) {
    if (!isAllowed(c.req.header('authorization'))) return rejectToken(c)
    await next()
  }
}

/** Returns 401 to a request without an accepted token (RFC 6750). */
export function rejectToken(c: Context<AppEnv>): Response {
  c.header('www-authenticate', 'Bearer')
  return problem(c, 401, [{ path: 'authorization', message: 'send the header authorization: Bearer <token>' }])
}

/** Compares `authorization` headers with tokens, in constant time. */
export function createBearerCheck(tokens: readonly Secret[]): (authorization: string | undefined) => boolean {
  const expected = tokens.map((token) => digest(`Bearer ${token.reveal()}`))
  return (authorization = '') => {
    const given = digest(authorization.replace(/^bearer /i, 'Bearer '))
    // Compare digests, because a constant-time comparison requires equal lengths. Compare every token, even after a
    // match.
    return expected.map((each) => timingSafeEqual(given, each)).includes(true)
  }
}

function digest(text: string): Buffer {
  return hash('sha256', text, 'buffer')
}
