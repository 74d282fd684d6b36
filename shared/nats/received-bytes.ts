import { Socket } from 'node:net'
import type { NatsConnection } from 'nats'

/**
 * Counts the bytes that arrive over a connection, including those of incomplete messages. The client itself counts only
 * complete messages, and hides its socket. If a version of the client keeps the socket elsewhere, counts messages
 * instead.
 */
export function countReceived(connection: NatsConnection): () => number {
  let found: unknown = connection
  for (const name of ['protocol', 'transport', 'socket']) {
    found = typeof found === 'object' && found !== null ? Reflect.get(found, name) : undefined
  }
  const socket = found
  return socket instanceof Socket ? () => socket.bytesRead : () => connection.stats().inMsgs
}
