import type { ServerResponse } from 'node:http'
import type { MiddlewareHandler } from 'hono'
import type { AppEnv } from './app-env.ts'

/**
 * Bounds the memory for unread responses: each response stays in memory as a whole until the client has read it. Above
 * the maximum, closes the connection with the oldest unread response, because a client that reads would have received
 * that response long ago.
 * @param max the maximum number of unread responses
 */
export function limitUnread(max: number): MiddlewareHandler<AppEnv> {
  const unread = new Set<ServerResponse>()
  return async function limitUnread(c, next) {
    await next()
    const { outgoing } = c.env ?? {}
    if (!outgoing) return
    unread.add(outgoing)
    outgoing.once('close', () => unread.delete(outgoing))
    const [oldest] = unread
    if (unread.size <= max || !oldest) return
    unread.delete(oldest)
    oldest.destroy()
  }
}
