import type { Context } from 'hono'
import type { AppEnv } from './app-env.ts'

/**
 * Sets a header that every answer has, before it is made. On Node's response, where there is one: a second header set
 * in Hono makes a Headers object of them all.
 */
export function setAnswerHeader(c: Context<AppEnv>, name: string, value: string): void {
  const outgoing = c.env?.outgoing
  if (outgoing) outgoing.setHeader(name, value)
  else c.header(name, value)
}
