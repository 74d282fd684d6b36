import { type ConnectionOptions, connect, type NatsConnection } from 'nats'
import { sleep } from '../runtime/sleep.ts'
import type { NatsAccess } from './credentials.ts'
import { awaitGreeting, type Greeting } from './greeting.ts'
import { toConnectError, toTlsOptions } from './tls.ts'

/** How long to wait before also trying the next server: a suspended server accepts connections, but stays silent. */
const STAGGER_MS = 250

type Options = NatsAccess & { name: string; timeoutMs?: number; signal?: AbortSignal }

/**
 * Connects to the first server that responds. Servers are tried in random order. The connection ends when its socket
 * closes; to reconnect, call this again. The client's own reconnect is off, because data from the old socket would
 * reach the new connection's parser. The parser would then print raw protocol data and stop reading, but the connection
 * would stay open.
 * @param timeoutMs connect timeout for each server
 * @param signal aborts the attempt
 * @throws NatsTlsError, or an error from the client
 */
export async function connectToNats({ name, timeoutMs = 2_000, signal, ...access }: Options): Promise<NatsConnection> {
  let candidates = shuffle(access.servers)
  for (;;) {
    const { server, greeting } = await findResponsive(candidates, timeoutMs, signal)
    candidates = candidates.filter((other) => other !== server)
    try {
      const authenticator = access.authenticate && { authenticator: access.authenticate() }
      const tls = toTlsOptions(server, access, greeting)
      return await connect({ servers: server, ...authenticator, ...tls, ...OPTIONS, name, timeout: timeoutMs })
    } catch (error) {
      if (candidates.length === 0) throw toConnectError(server, error)
    }
  }
}

type Responsive = { server: string; greeting: Greeting }

/**
 * Returns the first server that sends its greeting.
 * @throws the last server's error if no server sends a greeting
 */
async function findResponsive(servers: string[], timeoutMs: number, signal?: AbortSignal): Promise<Responsive> {
  const found = new AbortController()
  const ended = signal ? AbortSignal.any([found.signal, signal]) : found.signal
  const attempts: Promise<Responsive>[] = []
  try {
    for (const server of servers) {
      const greeting = awaitGreeting(server, AbortSignal.any([ended, AbortSignal.timeout(timeoutMs)]))
      attempts.push(greeting.then((greeting) => ({ server, greeting })))
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
  // The link detects a hung server sooner than the client would.
  pingInterval: 24 * 3_600_000,
  // Capturing a stack trace costs more than the request itself.
  noAsyncTraces: true,
}

function shuffle<Item>(items: readonly Item[]): Item[] {
  return items
    .map((item) => ({ item, order: Math.random() }))
    .sort((a, b) => a.order - b.order)
    .map(({ item }) => item)
}
