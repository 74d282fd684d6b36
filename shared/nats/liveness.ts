import { addAbortListener } from 'node:events'
import { Socket } from 'node:net'
import type { NatsConnection } from 'nats'
import { createSilenceLimit } from './silence-limit.ts'

const TICK_MS = 100
const PING_EVERY_TICKS = 5

/**
 * Resolves with the reason once the connection is closed or the server stops responding. On a connection with a short
 * round trip, detecting a silent server takes at most a second. Counts ticks rather than time: after a pause in this
 * process, timers fire before the socket is read, so the elapsed time says nothing about the server.
 */
export async function untilLost(connection: NatsConnection, signal: AbortSignal): Promise<string> {
  const silent = Promise.withResolvers<string>()
  const limit = createSilenceLimit()
  const countBytes = countReceived(connection)
  let received = 0
  let sent = 0
  let sincePing = PING_EVERY_TICKS
  let silentTicks = 0
  let isPinging = false

  function tick(): void {
    const bytes = countBytes()
    silentTicks = bytes === received ? silentTicks + 1 : 0
    received = bytes
    sincePing += 1
    const isDue = sincePing >= PING_EVERY_TICKS || connection.stats().outBytes !== sent
    if (!isPinging && isDue) ping()
    else if (isPinging && silentTicks >= limit.ticks()) silent.resolve('the server does not respond')
  }

  /** Publishing data also makes a ping due, so that little data is unacknowledged when the server hangs. */
  function ping(): void {
    sent = connection.stats().outBytes
    limit.onPing(sent)
    sincePing = 0
    silentTicks = 0
    isPinging = true
    void connection.flush().then(onPong, () => undefined)
  }

  function onPong(): void {
    limit.onPong(sincePing)
    isPinging = false
  }

  const timer = setInterval(tick, TICK_MS)
  const closed = connection.closed().then((error) => (error ? error.message : 'the server closed the connection'))
  const aborted = Promise.withResolvers<string>()
  // The signal outlives the connection, and its listener would keep the connection in memory.
  using _ = addAbortListener(signal, () => aborted.resolve('closing'))
  try {
    return await Promise.race([silent.promise, closed, aborted.promise])
  } finally {
    clearInterval(timer)
  }
}

/**
 * Counts the bytes that arrive over a connection, including those of incomplete messages. The client itself counts only
 * complete messages, and hides its socket. If a version of the client keeps the socket elsewhere, counts messages
 * instead.
 */
function countReceived(connection: NatsConnection): () => number {
  let found: unknown = connection
  for (const name of ['protocol', 'transport', 'socket']) {
    found = typeof found === 'object' && found !== null ? Reflect.get(found, name) : undefined
  }
  const socket = found
  return socket instanceof Socket ? () => socket.bytesRead : () => connection.stats().inMsgs
}
