import { once } from 'node:events'
import { Events, type NatsConnection } from 'nats'
import type { DependencyState } from '../contracts/readiness.ts'
import type { Logger } from '../runtime/log.ts'
import { toReason } from '../runtime/reason.ts'
import { retry } from '../runtime/retry.ts'
import { connectToNats, RECONNECT_WAIT_MS, withoutCredentials } from './connect.ts'

/** There is currently no connection to NATS. */
export class NatsDownError extends Error {
  override name = 'NatsDownError'
  constructor() {
    super('no connection to NATS')
  }
}

/** A connection to NATS for the lifetime of the process: it connects in the background and reconnects forever. */
export type NatsLink = AsyncDisposable & {
  state: () => DependencyState
  /** @throws NatsDownError */
  connection(): NatsConnection
  /** Resolves once the connection is up; rejects if `signal` aborts. */
  up(signal: AbortSignal): Promise<NatsConnection>
  /** Aborts when the current connection goes down; already aborted while there is none. */
  down(): AbortSignal
  /** Calls `callback` each time the connection comes up, and immediately if it is up. */
  onUp(callback: (connection: NatsConnection) => void): void
}

type Options = { servers: string[]; name: string; log: Logger }

export function openNatsLink({ servers, name, log }: Options): NatsLink {
  const closing = new AbortController()
  const events = new EventTarget()
  const callbacks: ((connection: NatsConnection) => void)[] = []
  let connection: NatsConnection | undefined
  let down = new AbortController()
  down.abort(new NatsDownError())

  function setUp(current: NatsConnection): void {
    // The client may report a reconnect without a preceding disconnect.
    setDown()
    connection = current
    down = new AbortController()
    log.info({ server: current.getServer() }, 'NATS is up')
    for (const callback of callbacks) callback(current)
    events.dispatchEvent(new Event('up'))
  }

  function setDown(): void {
    if (!connection) return
    connection = undefined
    down.abort(new NatsDownError())
    if (!closing.signal.aborted) log.warn('NATS is down')
  }

  async function watch(current: NatsConnection): Promise<void> {
    for await (const { type } of current.status()) {
      if (type === Events.Disconnect) setDown()
      if (type === Events.Reconnect) setUp(current)
    }
  }

  const opening = connect({ servers, name, log }, closing.signal)
  void opening.then((current) => {
    if (!current) return
    setUp(current)
    void watch(current)
  })

  return {
    state: () => (connection ? 'up' : 'down'),
    connection() {
      if (!connection) throw new NatsDownError()
      return connection
    },
    async up(signal) {
      while (!connection) await once(events, 'up', { signal })
      return connection
    },
    down: () => down.signal,
    onUp(callback) {
      callbacks.push(callback)
      if (connection) callback(connection)
    },
    async [Symbol.asyncDispose]() {
      closing.abort()
      const opened = await opening
      // drain() flushes pending messages, but would try to reconnect forever if the server went down in the meantime.
      if (connection) await Promise.race([opened?.drain(), once(down.signal, 'abort')]).catch(() => undefined)
      await opened?.close()
    },
  }
}

function connect({ servers, name, log }: Options, closing: AbortSignal): Promise<NatsConnection | undefined> {
  let isLogged = false
  return retry(() => connectToNats({ servers, name }), {
    signal: closing,
    initialMs: RECONNECT_WAIT_MS,
    onFailure(error) {
      if (isLogged) return
      isLogged = true
      log.warn(
        { reason: toReason(error), servers: servers.map(withoutCredentials) },
        'cannot connect to NATS yet; retrying',
      )
    },
  })
}
