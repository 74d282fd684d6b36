import { createHash, timingSafeEqual } from 'node:crypto'
import type { MiddlewareHandler } from 'hono'
import { z } from 'zod'
import type { Logger } from '../runtime/log.ts'
import { SettingsError } from '../runtime/settings.ts'
import type { AppEnv } from './app-env.ts'
import { problem } from './errors.ts'

/** The token that a service asks of who writes, or sends where it writes itself. */
export const writeToken = z
  .string()
  .regex(/^[\x21-\x7e]+$/, { error: 'must be printable ASCII without spaces' })
  .optional()
  .meta({ description: 'Token that writes need: authorization: Bearer …' })

/** The settings of a service that takes writes. */
export const writeSettings = {
  WRITE_TOKEN: writeToken,
  ALLOW_OPEN_WRITES: z
    .enum(['0', '1'], { error: 'must be 1 or 0' })
    .default('0')
    .transform((text) => text === '1')
    .meta({ description: 'Whether it may listen beyond loopback without a WRITE_TOKEN' }),
}

type WriteSettings = z.output<z.ZodObject<typeof writeSettings>> & { HOST: string }

/**
 * Sees to it that nobody opens writes to a network by accident.
 * @throws SettingsError
 */
export function checkOpenWrites({ WRITE_TOKEN, ALLOW_OPEN_WRITES, HOST }: WriteSettings, log: Logger): void {
  if (!WRITE_TOKEN && !ALLOW_OPEN_WRITES && !isLoopback(HOST)) {
    throw new SettingsError(
      `HOST is "${HOST}": whoever reaches it could write; set WRITE_TOKEN, or ALLOW_OPEN_WRITES=1 to allow that`,
    )
  }
  warnWithoutToken({ WRITE_TOKEN, HOST }, log)
}

/** Says where others can reach the service that there is no token, which its neighbours on the same network need. */
export function warnWithoutToken({ WRITE_TOKEN, HOST }: Omit<WriteSettings, 'ALLOW_OPEN_WRITES'>, log: Logger): void {
  if (WRITE_TOKEN || isLoopback(HOST)) return
  log.warn({ host: HOST }, 'beyond loopback without a WRITE_TOKEN: who reaches metadata, cdnurl or reporting can write')
}

/** Lets a write through that has the token (RFC 6750), where there is one; else answers 401. */
export function guardWrite(token: string | undefined): MiddlewareHandler<AppEnv> {
  if (!token) return (_, next) => next()
  const expected = digest(`Bearer ${token}`)
  return async function guardWrite(c, next) {
    const given = c.req.header('authorization') ?? ''
    // Of equal length whatever was sent, and compared in constant time.
    if (!timingSafeEqual(digest(given.replace(/^bearer /i, 'Bearer ')), expected)) {
      c.header('www-authenticate', 'Bearer')
      return problem(c, 401, [
        { path: 'authorization', message: 'send the header authorization: Bearer and the token' },
      ])
    }
    await next()
  }
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host)
}
