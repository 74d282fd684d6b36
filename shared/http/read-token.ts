import type { MiddlewareHandler } from 'hono'
import { z } from 'zod'
import { createBearerCheck } from './write-token.ts'

const MIN_LENGTH = 16

/** The bearer token for reads that name users. */
export const readToken = z
  .string()
  .regex(/^[\x21-\x7e]*$/, { error: 'must be printable ASCII without spaces' })
  .min(MIN_LENGTH, { error: `must have at least ${MIN_LENGTH} characters` })
  .optional()
  .meta({ description: 'Token for reads that name users (authorization: Bearer …)' })

/** Lets requests with this token pass, if there is one, and leaves all others to `otherwise`. */
export function allowReadToken<Env extends object>(
  token: string | undefined,
  otherwise: MiddlewareHandler<Env>,
): MiddlewareHandler<Env> {
  if (!token) return otherwise
  const isReader = createBearerCheck(token)
  return async function allowReadToken(c, next) {
    return isReader(c.req.header('authorization')) ? next() : otherwise(c, next)
  }
}
