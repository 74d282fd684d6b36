import { type ConnectionOptions, connect, type NatsConnection } from 'nats'
import { sleep } from '../runtime/sleep.ts'
import { awaitGreeting } from './greeting.ts'

/** How long to wait for a server before the next one is tried too: a suspended one accepts connections, and is silent. */
const STAGGER_MS = 250

type Options = { servers: string[]; name: string; timeoutMs?: number; signal?: AbortSignal }

/**
 * Connects to the first server that responds; they are tried in random order. The connection ends when its socket closes; to
 * reconnect, call this again. With the client's own reconnect, the old socket would feed the parser of the new one,
 * which prints raw protocol, stops reading, and keeps the connection open.
 * @param timeoutMs connect timeout for each server
 * @param signal ends the attempt
 */
export async function connectToNats({ servers, name, timeoutMs = 2_000, signal }: Options): Promise<NatsConnection> {
  const credentials = toCredentials(servers)
  let candidates = shuffle(servers.map(withoutCredentials))
  for (;;) {
    const server = await findResponsive(candidates, timeoutMs, signal)
    candidates = candidates.filter((other) => other !== server)
    try {
      return await connect({ servers: server, ...credentials, ...OPTIONS, name, timeout: timeoutMs })
    } catch (error) {
      if (candidates.length === 0) throw error
    }
  }
}

/**
 * The first server that sends its greeting.
 * @throws the error of the last server if none does
 */
async function findResponsive(servers: string[], timeoutMs: number, signal?: AbortSignal): Promise<string> {
  const found = new AbortController()
  const ended = signal ? AbortSignal.any([found.signal, signal]) : found.signal
  const attempts: Promise<string>[] = []
  try {
    for (const server of servers) {
      const greeting = awaitGreeting(server, AbortSignal.any([ended, AbortSignal.timeout(timeoutMs)]))
      attempts.push(greeting.then(() => server))
      const first = await Promise.race([Promise.any(attempts), sleep(STAGGER_MS)]).catch(() => undefined)
      if (first) return first
    }
    return await Promise.any(attempts)
  } catch (error) {
    throw error instanceof AggregateError ? error.errors.at(-1) : error
  } finally {
    found.abort()
  }
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
