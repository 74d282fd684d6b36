import { once } from 'node:events'
import { type NatsConnection, NatsError } from 'nats'
import type { DependencyState } from '../contracts/readiness.ts'
import type { Logger } from '../runtime/log.ts'
import { raceAbort } from '../runtime/race-abort.ts'
import { toReason } from '../runtime/reason.ts'
import { retry } from '../runtime/retry.ts'
import { connectToNats } from './connect.ts'
import type { NatsAccess } from './credentials.ts'
import { untilLost } from './liveness.ts'
import { NatsTlsError } from './tls.ts'
import { createTransitions } from './transitions.ts'

const RECONNECT_WAIT_MS = 250

/** How long to wait before the first warning: on a cold start, NATS may start a few seconds later than the services. */
const COLD_START_MS = 5_000

/** Bounds how long closing waits until pending messages are flushed. */
const FLUSH_TIMEOUT_MS = 200

/** Thrown while there is no connection to NATS. */
export class NatsDownError extends Error {
  override name = 'NatsDownError'
  constructor() {
    super('no connection to NATS')
  }
}

/**
 * Keeps the process connected to NATS. Connects in the background, and replaces a lost connection with a new one.
 */
export type NatsLink = AsyncDisposable & {
  state: () => DependencyState
  /** Why the link is down. */
  reason: () => string | undefined
  /** @throws NatsDownError */
  connection(): NatsConnection
  /** Resolves once the connection is up; rejects if `signal` aborts. */
  up(signal: AbortSignal): Promise<NatsConnection>
  /** Returns a signal that aborts when the connection goes down. Without a connection, it has already aborted. */
  down(): AbortSignal
  /** Calls `callback` with each new connection, and immediately if one is already up. */
  onUp(callback: (connection: NatsConnection) => void): void
}

type Options = NatsAccess & { name: string; log: Logger; coldStartMs?: number }

export function openNatsLink(options: Options): NatsLink {
  const { servers, ca, authenticate, name, log, coldStartMs = COLD_START_MS } = options
  const shutdown = new AbortController()
  const events = new EventTarget()
  const callbacks: ((connection: NatsConnection) => void)[] = []
  const openedAt = performance.now()
  const transitions = createTransitions(log)
  /** Other servers in the cluster, as announced by the last connection's server. */
  let announced: string[] = []
  let connection: NatsConnection | undefined
  let reason: string | undefined = 'not connected yet'
  /** Set after the first warning or connection: from then on, only state changes are logged. */
  let isFailureLogged = false
  let down = new AbortController()
  down.abort(new NatsDownError())

  async function live(resetBackoff: () => void): Promise<never> {
    const current = await connect()
    setUp(current)
    const lost = await untilLost(current, shutdown.signal)
    announced = current.info?.connect_urls ?? []
    if (setDown(lost)) resetBackoff()
    if (shutdown.signal.aborted)
      await raceAbort(current.flush(), AbortSignal.timeout(FLUSH_TIMEOUT_MS)).catch(() => undefined)
    await current.close()
    throw new Error(lost)
  }

  async function connect(): Promise<NatsConnection> {
    const candidates = [...new Set([...servers, ...announced])]
    const connecting = connectToNats({ servers: candidates, ca, authenticate, name, signal: shutdown.signal })
    try {
      return await raceAbort(connecting, shutdown.signal)
    } catch (error) {
      connecting.then(
        (late) => late.close(),
        () => undefined,
      )
      throw error
    }
  }

  function setUp(current: NatsConnection): void {
    connection = current
    reason = undefined
    down = new AbortController()
    isFailureLogged = true
    transitions.up(current.getServer())
    for (const callback of callbacks) callback(current)
    events.dispatchEvent(new Event('up'))
  }

  function setDown(lost: string): boolean {
    connection = undefined
    reason = lost
    down.abort(new NatsDownError())
    return transitions.down(lost, shutdown.signal.aborted)
  }

  function onFailure(error: unknown): void {
    reason = toReason(error)
    const isRejected = error instanceof NatsTlsError || (error instanceof NatsError && error.isAuthError())
    const isStarting = performance.now() - openedAt < coldStartMs && !isRejected
    if (isFailureLogged || isStarting) return
    isFailureLogged = true
    log.warn({ reason, servers }, 'cannot connect to NATS yet; retrying')
  }

  const running = retry(live, { signal: shutdown.signal, initialMs: RECONNECT_WAIT_MS, onFailure })

  /** The connection, unless it has closed: the client reports the close a few microtasks later. */
  const usable = () => (connection?.isClosed() ? undefined : connection)

  return {
    state: () => (usable() ? 'up' : 'down'),
    reason: () => reason,
    connection() {
      const current = usable()
      if (!current) throw new NatsDownError()
      return current
    },
    async up(signal) {
      for (let current = usable(); ; current = usable()) {
        if (current) return current
        await once(events, 'up', { signal })
      }
    },
    down: () => down.signal,
    onUp(callback) {
      callbacks.push(callback)
      const current = usable()
      if (current) callback(current)
    },
    async [Symbol.asyncDispose]() {
      shutdown.abort()
      await running
    },
  }
}
