import type { Context } from 'hono'
import type { AppEnv } from './app-env.ts'

/**
 * Sets a header before the response exists. It sets it on Node's response if there is one: a second header in Hono
 * makes it build a Headers object, which is slow.
 */
export function setResponseHeader(c: Context<AppEnv>, name: string, value: string): void {
  const outgoing = c.env?.outgoing
  if (outgoing) outgoing.setHeader(name, value)
  else c.header(name, value)
}
