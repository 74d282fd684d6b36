import { once } from 'node:events'
import { type ConnectionOptions, connect, Events, type NatsConnection } from 'nats'
import type { DependencyState } from '../runtime/health.ts'
import type { Logger } from '../runtime/log.ts'
import { pause } from '../runtime/pause.ts'
import { reasonOf } from '../runtime/reason.ts'

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

const RECONNECT_WAIT_MS = 250

/** Connects in the background, tries for ever, and reconnects for ever. */
export function openNatsLink({ servers, name, log }: { servers: string[]; name: string; log: Logger }): NatsLink {
  const closing = new AbortController()
  const events = new EventTarget()
  const callbacks: ((connection: NatsConnection) => void)[] = []
  let connection: NatsConnection | undefined
  let downSignal = abortedController()

  const options: ConnectionOptions = {
    servers: servers.map((server) => server.replace(/[^/@]+@/, '')),
    ...credentialsOf(servers),
    name,
    maxReconnectAttempts: -1,
    reconnectTimeWait: RECONNECT_WAIT_MS,
    reconnectJitter: RECONNECT_WAIT_MS,
    timeout: 2_000,
    // Notices a server that hangs within 20 s; one that closed is noticed at once.
    pingInterval: 10_000,
    maxPingOut: 1,
    // A stack trace for each request would cost more than the request.
    noAsyncTraces: true,
  }

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

  const opening = firstConnection(options, log, closing.signal)
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

async function firstConnection(options: ConnectionOptions, log: Logger, closing: AbortSignal) {
  for (let attempt = 0; !closing.aborted; attempt += 1) {
    try {
      return await connect(options)
    } catch (err) {
      if (attempt === 0) log.warn({ reason: reasonOf(err), servers: options.servers }, 'NATS is not there yet')
      await pause(RECONNECT_WAIT_MS, closing)
    }
  }
  return undefined
}

/** The client takes credentials apart from addresses, one for all servers. */
function credentialsOf(servers: string[]): Pick<ConnectionOptions, 'user' | 'pass' | 'token'> {
  const given = servers.map((server) => /([^/@]+)@/.exec(server)?.[1]).find((found) => found !== undefined)
  if (given === undefined) return {}
  const [user = '', pass] = given.split(':').map(decodeURIComponent)
  return pass === undefined ? { token: user } : { user, pass }
}

function abortedController(): AbortController {
  const controller = new AbortController()
  controller.abort(new NatsDownError())
  return controller
}
