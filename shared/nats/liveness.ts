import type { NatsConnection } from 'nats'

const TICK_MS = 100
const PING_EVERY_TICKS = 5
/** If a server returns neither a message nor the response to a ping for this long, it hangs. */
const MAX_SILENT_TICKS = 5

/**
 * Resolves with the reason once the connection is lost: it is closed, or the server stops responding, which takes at
 * most a second to detect. Counts ticks rather than time: after a pause of this process, timers fire before the socket
 * is read, so the time that has passed says nothing about the server.
 */
export async function untilLost(connection: NatsConnection, signal: AbortSignal): Promise<string> {
  const silent = Promise.withResolvers<string>()
  let received = 0
  let sincePing = PING_EVERY_TICKS
  let silentTicks = 0
  let isPinging = false

  function tick(): void {
    const { inMsgs } = connection.stats()
    if (inMsgs !== received) silentTicks = 0
    received = inMsgs
    sincePing += 1
    if (!isPinging && sincePing >= PING_EVERY_TICKS) ping()
    else if (isPinging && ++silentTicks >= MAX_SILENT_TICKS) silent.resolve('the server does not respond')
  }

  function ping(): void {
    sincePing = 0
    silentTicks = 0
    isPinging = true
    void connection.flush().then(
      () => {
        isPinging = false
      },
      () => undefined,
    )
  }

  const timer = setInterval(tick, TICK_MS)
  const closed = connection.closed().then((error) => (error ? error.message : 'the server closed the connection'))
  const aborted = Promise.withResolvers<string>()
  signal.addEventListener('abort', () => aborted.resolve('closing'), { once: true })
  try {
    return await Promise.race([silent.promise, closed, aborted.promise])
  } finally {
    clearInterval(timer)
  }
}
