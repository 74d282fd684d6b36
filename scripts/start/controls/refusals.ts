import type { Context } from 'hono'
import type { z } from 'zod'

/** Responds with the reason why a control was refused. play converts the response to a Problem. */
export function refuse(c: Context, status: 401 | 404 | 409 | 503, message: string) {
  return c.json({ errors: [{ path: 'controls', message }] }, status)
}

export function refuseQuery(c: Context, { issues }: z.ZodError) {
  return c.json({ errors: issues.map(({ path, message }) => ({ path: path.join('.'), message })) }, 400)
}
