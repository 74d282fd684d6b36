import { type ConnectionOptions, connect, type NatsConnection } from 'nats'
import { awaitGreeting } from './greeting.ts'

type Options = { servers: string[]; name: string; timeoutMs?: number; signal?: AbortSignal }

/**
 * Connects to the first server that responds, in random order. The connection ends when its socket closes; to
 * reconnect, call this again. With the client's own reconnect, the old socket would feed the parser of the new one,
 * which prints raw protocol, stops reading, and keeps the connection open.
 * @param timeoutMs connect timeout for each server
 * @param signal ends the attempt
 */
export async function connectToNats({ servers, name, timeoutMs = 2_000, signal }: Options): Promise<NatsConnection> {
  const credentials = toCredentials(servers)
  let failure: unknown
  for (const server of shuffle(servers.map(withoutCredentials))) {
    try {
      const timeout = AbortSignal.timeout(timeoutMs)
      await awaitGreeting(server, signal ? AbortSignal.any([timeout, signal]) : timeout)
      return await connect({ servers: server, ...credentials, ...OPTIONS, name, timeout: timeoutMs })
    } catch (error) {
      failure = error
    }
  }
  throw failure
}

const OPTIONS: ConnectionOptions = {
  reconnect: false,
  // The link detects a server that hangs sooner than the client would.
  pingInterval: 24 * 3_600_000,
  // Capturing a stack trace costs more than the request itself.
  noAsyncTraces: true,
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

function shuffle<Item>(items: Item[]): Item[] {
  return items
    .map((item) => ({ item, order: Math.random() }))
    .sort((a, b) => a.order - b.order)
    .map(({ item }) => item)
}
