import { type ConnectionOptions, connect, type NatsConnection } from 'nats'

/** From one attempt to connect to the next. */
export const RECONNECT_WAIT_MS = 250

type Options = { servers: string[]; name: string; timeoutMs?: number }

/**
 * Connects to the first server that answers, or throws. A connection that was lost later is made again, for ever.
 * @param timeoutMs how long each server may take
 */
export function connectToNats({ servers, name, timeoutMs = 2_000 }: Options): Promise<NatsConnection> {
  return connect({
    servers: servers.map(withoutCredentials),
    ...credentialsOf(servers),
    name,
    maxReconnectAttempts: -1,
    reconnectTimeWait: RECONNECT_WAIT_MS,
    reconnectJitter: RECONNECT_WAIT_MS,
    timeout: timeoutMs,
    // Notices a server that hangs within 20 s; one that closed is noticed at once.
    pingInterval: 10_000,
    maxPingOut: 1,
    // A stack trace for each request would cost more than the request.
    noAsyncTraces: true,
  })
}

/** A server's address as it may be shown. */
export function withoutCredentials(server: string): string {
  return server.replace(/[^/@]+@/, '')
}

/** The client takes credentials apart from addresses, one for all servers. */
function credentialsOf(servers: string[]): Pick<ConnectionOptions, 'user' | 'pass' | 'token'> {
  const given = servers.map((server) => /([^/@]+)@/.exec(server)?.[1]).find((found) => found !== undefined)
  if (given === undefined) return {}
  const [user = '', pass] = given.split(':').map(decodeURIComponent)
  return pass === undefined ? { token: user } : { user, pass }
}
