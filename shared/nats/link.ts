import { once } from 'node:events'
import { Events, type NatsConnection } from 'nats'
import type { DependencyState } from '../runtime/health.ts'
import type { Logger } from '../runtime/log.ts'
import { pause } from '../runtime/pause.ts'
import { reasonOf } from '../runtime/reason.ts'
import { connectToNats, RECONNECT_WAIT_MS, withoutCredentials } from './connect.ts'

/** There is no connection to NATS at the moment. */
export class NatsDownError extends Error {
  override name = 'NatsDownError'
  constructor() {
    super('no connection to NATS')
  }
}

/** A connection to NATS that is kept up for as long as the process lives. */
export type NatsLink = AsyncDisposable & {
  state: () => DependencyState
  /**
   * The connection, if it is up.
   * @throws NatsDownError
   */
  connection(): NatsConnection
  /** Resolves when the connection is up; rejects when `signal` aborts. */
  up(signal: AbortSignal): Promise<NatsConnection>
  /** Aborts when the connection that is up now goes down; aborted while it is down. */
  down(): AbortSignal
  /** Calls back at once if the link is up, and each time that it comes up. */
  onUp(callback: (connection: NatsConnection) => void): void
}

type Options = { servers: string[]; name: string; log: Logger }

/** Connects in the background, tries for ever, and reconnects for ever. */
export function openNatsLink({ servers, name, log }: Options): NatsLink {
  const closing = new AbortController()
  const events = new EventTarget()
  const callbacks: ((connection: NatsConnection) => void)[] = []
  let connection: NatsConnection | undefined
  let downSignal = abortedController()

  function rise(current: NatsConnection): void {
    // Whoever waits for this one to go down must hear of it also where the news of that was missed.
    fall()
    connection = current
    downSignal = new AbortController()
    log.info({ server: current.getServer() }, 'NATS is up')
    for (const callback of callbacks) callback(current)
    events.dispatchEvent(new Event('up'))
  }

  function fall(): void {
    if (!connection) return
    connection = undefined
    downSignal.abort(new NatsDownError())
    if (!closing.signal.aborted) log.warn('NATS is down')
  }

  async function follow(current: NatsConnection): Promise<void> {
    for await (const { type } of current.status()) {
      if (type === Events.Disconnect) fall()
      if (type === Events.Reconnect) rise(current)
    }
  }

  const opening = firstConnection({ servers, name, log }, closing.signal)
  void opening.then((current) => {
    if (!current) return
    rise(current)
    void follow(current)
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
    down: () => downSignal.signal,
    onUp(callback) {
      callbacks.push(callback)
      if (connection) callback(connection)
    },
    async [Symbol.asyncDispose]() {
      closing.abort()
      const opened = await opening
      // drain() sends what is still to be sent. Where the server goes meanwhile it would go on reconnecting.
      if (connection) await Promise.race([opened?.drain(), once(downSignal.signal, 'abort')]).catch(() => undefined)
      await opened?.close()
    },
  }
}

async function firstConnection({ servers, name, log }: Options, closing: AbortSignal) {
  for (let attempt = 0; !closing.aborted; attempt += 1) {
    try {
      return await connectToNats({ servers, name })
    } catch (err) {
      const reason = reasonOf(err)
      if (attempt === 0) log.warn({ reason, servers: servers.map(withoutCredentials) }, 'NATS is not there yet')
      await pause(RECONNECT_WAIT_MS, closing)
    }
  }
  return undefined
}

function abortedController(): AbortController {
  const controller = new AbortController()
  controller.abort(new NatsDownError())
  return controller
}
