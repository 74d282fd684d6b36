import { Socket } from 'node:net'
import { DatabaseError, Pool, type PoolClient } from 'pg'

const CONNECT_TIMEOUT_MS = 1_000
const IDLE_TIMEOUT_MS = 30_000
const KEEP_ALIVE_MS = 5_000
/** If more callers waited for a connection, the last ones would time out anyway. */
const MAX_WAITING = 1_000

/** The SQLSTATE of a write to a read-only server. */
export const READ_ONLY = '25006'

/** There was no connection, so the statement was not sent. */
export class NotSentError extends Error {
  override name = 'NotSentError'
  readonly code = 'ECONNECT'
}

/** The server did not respond in time. */
class DeadlineError extends Error {
  override name = 'DeadlineError'
  readonly code = 'ETIMEDOUT'
  constructor(timeoutMs: number) {
    super(`no response within ${timeoutMs} ms`)
  }
}

/** @param sockets receives the open sockets, because a pool cannot close a hung server's sockets */
export function openPool(connectionString: string, max: number, sockets: Set<Socket>): Pool {
  function openSocket(): Socket {
    const socket = new Socket()
    sockets.add(socket)
    return socket.once('close', () => sockets.delete(socket))
  }

  const pool = new Pool({
    connectionString,
    stream: openSocket,
    max,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    idleTimeoutMillis: IDLE_TIMEOUT_MS,
    keepAlive: true,
    keepAliveInitialDelayMillis: KEEP_ALIVE_MS,
    application_name: 'reporting',
  })
  // Without a listener, the error from a lost connection would crash the process. A statement that runs on the
  // connection fails in any case.
  pool.on('error', () => {})
  pool.on('connect', (client) => client.on('error', () => {}))
  return pool
}

/**
 * Runs `work` on a connection from the pool. Closes the connection if `work` does not complete in time.
 * @param moveOn called if another host should be used from now on
 */
export async function useConnection<Result>(
  pool: Pool | undefined,
  work: (client: PoolClient) => Promise<Result>,
  timeoutMs: number,
  moveOn = () => {},
): Promise<Result> {
  const { promise: deadline, reject } = Promise.withResolvers<never>()
  deadline.catch(() => {})
  const timer = setTimeout(() => reject(new DeadlineError(timeoutMs)), timeoutMs)
  try {
    const client = await connect(pool, deadline, moveOn)
    return await release(client, Promise.race([work(client), deadline]), moveOn)
  } finally {
    clearTimeout(timer)
  }
}

async function connect(pool: Pool | undefined, deadline: Promise<never>, moveOn: () => void): Promise<PoolClient> {
  if (!pool || pool.waitingCount >= MAX_WAITING) throw new NotSentError('all connections are in use')
  // Check this before connecting, because the connection that this call opens would count towards the total.
  const isExhausted = pool.idleCount === 0 && pool.totalCount >= pool.options.max
  const connecting = pool.connect()
  try {
    return await Promise.race([connecting, deadline])
  } catch (cause) {
    connecting.then(
      (late) => late.release(),
      () => undefined,
    )
    if (!isExhausted) moveOn()
    throw new NotSentError(isExhausted ? 'all connections are in use' : 'cannot connect', { cause })
  }
}

/** Returns the connection to the pool, or closes it if it can no longer be used. */
async function release<Result>(client: PoolClient, work: Promise<Result>, moveOn: () => void): Promise<Result> {
  try {
    const result = await work
    client.release()
    return result
  } catch (error) {
    const isUsable = error instanceof DatabaseError && error.severity === 'ERROR' && error.code !== READ_ONLY
    client.release(!isUsable)
    if (!isUsable) moveOn()
    throw error
  }
}
