import { type ConnectionOptions, connect, type NatsConnection } from 'nats'

export const RECONNECT_WAIT_MS = 250

type Options = { servers: string[]; name: string; timeoutMs?: number }

/**
 * Connects to the first server that responds. Once connected, the client reconnects forever.
 * @param timeoutMs connect timeout for each server
 */
export function connectToNats({ servers, name, timeoutMs = 2_000 }: Options): Promise<NatsConnection> {
  return connect({
    servers: servers.map(withoutCredentials),
    ...toCredentials(servers),
    name,
    maxReconnectAttempts: -1,
    reconnectTimeWait: RECONNECT_WAIT_MS,
    reconnectJitter: RECONNECT_WAIT_MS,
    timeout: timeoutMs,
    // Detects a hung server within 20 s; a closed connection is detected immediately.
    pingInterval: 10_000,
    maxPingOut: 1,
    // Capturing a stack trace costs more than the request itself.
    noAsyncTraces: true,
  })
}

/** The address of a server without credentials, safe to log. */
export function withoutCredentials(server: string): string {
  return server.replace(/[^/@]+@/, '')
}

/** The client expects one set of credentials for all servers, separate from the addresses. */
function toCredentials(servers: string[]): Pick<ConnectionOptions, 'user' | 'pass' | 'token'> {
  const given = servers.map((server) => /([^/@]+)@/.exec(server)?.[1]).find((found) => found !== undefined)
  if (given === undefined) return {}
  const [user = '', pass] = given.split(':').map(decodeURIComponent)
  return pass === undefined ? { token: user } : { user, pass }
}
