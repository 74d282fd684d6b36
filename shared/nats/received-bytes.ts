import { Socket } from 'node:net'
import type { NatsConnection } from 'nats'

/**
 * Counts what arrives over a connection, including parts of a message. The client counts complete messages and hides
 * its socket; a version of it that has the socket elsewhere falls back to messages.
 */
export function countReceived(connection: NatsConnection): () => number {
  let found: unknown = connection
  for (const name of ['protocol', 'transport', 'socket']) {
    found = typeof found === 'object' && found !== null ? Reflect.get(found, name) : undefined
  }
  const socket = found
  return socket instanceof Socket ? () => socket.bytesRead : () => connection.stats().inMsgs
}
