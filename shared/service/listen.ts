import { once } from 'node:events'
import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from 'node:http'
import type { Server } from 'node:net'
import { getRequestListener } from '@hono/node-server'
import { PROBES } from '../contracts/probes.ts'
import { UsageError } from '../runtime/command-line.ts'
import { codeOf } from '../runtime/error-code.ts'
import { type Networks, toIpAddress } from '../runtime/ip-address.ts'
import type { Logger } from '../runtime/log.ts'
import { createLogThrottle } from '../runtime/log-throttle.ts'
import { isLoopback } from '../runtime/loopback.ts'
import { toOrigin } from '../runtime/origin.ts'
import { toReason } from '../runtime/reason.ts'
import { limitConnections } from './limit-connections.ts'
import { handleServerErrors, respondRejected, sendProblem } from './server-errors.ts'
import { StartError } from './service.ts'

/** How long to wait for requests in flight when the server closes. */
const GRACE_MS = 5_000

/**
 * Maximum number of pending connections. With Node's default of 511, some clients in a burst of 2,000 connections retry
 * after a second.
 */
const BACKLOG = 4_096

const LIMITS = {
  /** How long headers may take to arrive. */
  headersTimeout: 10_000,
  /** How long a whole request may take to arrive. Routes with a body have their own, shorter limit. */
  requestTimeout: 15_000,
  /** How often Node checks these two limits. */
  connectionsCheckingInterval: 1_000,
  // Hono's adapter checks the header instead, so that the error response has the common shape.
  requireHostHeader: false,
  // By default, Node uses the first of two Host headers, but a proxy may use the second one. Joining them makes an
  // invalid host name, so the request is rejected.
  joinDuplicateHeaders: true,
}

/** The server cannot listen on the address. The message is one line that names the address. */
export class ListenError extends StartError {
  override name = 'ListenError'
}

export type App = { fetch: Parameters<typeof getRequestListener>[0] }
export type Address = { port: number; url: string }
type Options = {
  host: string
  port: number
  log: Logger
  /** Maximum number of connections per client address; unlimited if undefined. */
  clientConnections?: number | undefined
  trustedProxies?: Networks | undefined
  /**
   * If true, other processes that run as this user and also set it may listen on the same address. The kernel
   * distributes the connections among them (SO_REUSEPORT, https://man7.org/linux/man-pages/man7/socket.7.html).
   */
  reusePort?: boolean | undefined
  /** Returns false to reject a Host header. If undefined, every header is accepted. */
  isAllowedHost?: ((host: string) => boolean) | undefined
}
export type Listening = AsyncDisposable & Address

/** Returns `port`, or a free port if `port` is 0, for callers that must know the port before they listen. */
export async function choosePort(port: number, host: string): Promise<number> {
  if (port !== 0) return port
  const server = createServer().listen(0, host)
  await once(server, 'listening')
  const free = portOf(server)
  server.close()
  await once(server, 'close')
  return free
}

/**
 * Serves `app` over HTTP/1.1 with keep-alive. Disposing stops listening, lets requests in flight finish, and closes the
 * connections that remain after a grace period.
 * @throws ListenError, or UsageError if the platform cannot share a port
 */
export async function listen(app: App, at: Options): Promise<Listening> {
  const server = createServer(LIMITS, createListener(app, at))
  handleServerErrors(server, at.log)
  if (at.clientConnections) limitConnections(server, { ...at, max: at.clientConnections })
  server.listen({ port: at.port, host: at.host, backlog: BACKLOG, reusePort: at.reusePort ?? false })
  await once(server, 'listening').catch((error) => {
    throw toListenError(error, at)
  })
  const port = portOf(server)
  const url = toOrigin(at.host, port)
  at.log.info({ url }, 'listening')
  return {
    port,
    url,
    async [Symbol.asyncDispose]() {
      const closed = once(server, 'close')
      server.close()
      // close() does not close busy connections; once idle, they would stay open until their timeout.
      const sweep = setInterval(() => server.closeIdleConnections(), 50)
      const cut = setTimeout(() => server.closeAllConnections(), GRACE_MS)
      await closed
      clearInterval(sweep)
      clearTimeout(cut)
    },
  }
}

/** Converts a listen error to one that tells the operator which address failed, and why. */
export function toListenError(error: unknown, at: Pick<Options, 'host' | 'port' | 'reusePort'>): Error {
  const code = codeOf(error)
  if (code === 'EADDRINUSE') {
    const by = at.reusePort ? ' by a process that does not share it' : ''
    return new ListenError(`port ${at.port} on ${at.host} is already in use${by}`)
  }
  // https://nodejs.org/api/net.html#serverlistenoptions-callback
  if (at.reusePort && code === 'ENOTSUP')
    return new UsageError('REUSE_PORT is set, but this platform cannot share a port')
  return new ListenError(`cannot listen on ${at.host}, port ${at.port}: ${code ?? toReason(error)}`)
}

/**
 * Hono's adapter does not pass a rejected request to the error handler, so `current` holds the request. This is safe,
 * because the adapter rejects a request before its first `await`.
 */
function createListener({ fetch }: App, { isAllowedHost = () => true, trustedProxies, log }: Options): RequestListener {
  const throttle = createLogThrottle()
  function isAllowed(incoming: IncomingMessage, name: string): boolean {
    return isAllowedHost(name) || PROBES.has(incoming.url ?? '') || isFromRemoteProxy(incoming, trustedProxies)
  }
  function refuse(incoming: IncomingMessage, outgoing: ServerResponse): void {
    const times = throttle('refused')
    if (times) log.warn({ times }, 'request with an unknown Host refused; see ALLOWED_HOSTS')
    sendProblem(incoming, outgoing, 421)
  }
  let current: IncomingMessage | undefined
  const listener = getRequestListener(fetch, {
    errorHandler: (error) => respondRejected(error, current ?? { headers: {} }),
  })
  return (incoming, outgoing) => {
    const { headers } = incoming
    if (headers.host !== undefined && !isAllowed(incoming, headers.host)) return refuse(incoming, outgoing)
    current = incoming
    void listener(incoming, outgoing)
    current = undefined
  }
}

/**
 * A trusted proxy is exempt from the host check, because it does not select the service by the Host header. A proxy on
 * loopback is not exempt, because a browser on this machine has the same address.
 */
function isFromRemoteProxy({ socket }: IncomingMessage, trustedProxies: Networks | undefined): boolean {
  const address = toIpAddress(socket.remoteAddress ?? '')
  return (
    trustedProxies !== undefined && address !== undefined && !isLoopback(address) && trustedProxies.includes(address)
  )
}

function portOf(server: Pick<Server, 'address'>): number {
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('the server has no port')
  return address.port
}
