import type { Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { DatabaseError, type Pool, type PoolClient, type QueryArrayResult } from 'pg'
import { codeOf } from '../../shared/runtime/error-code.ts'
import type { Secret } from '../../shared/runtime/secret.ts'
import { UnavailableError } from '../../shared/runtime/unavailable-error.ts'
import { NotSentError, openPool, READ_ONLY, useConnection } from './connections.ts'

const CLOSE_TIMEOUT_MS = 500
/**
 * The server times out before the client does, so that its error still reaches the client. The server's timeout also
 * ends statements whose client is gone.
 */
const SERVER_MARGIN_MS = 50
const MAX_RETRY_DELAY_MS = 50

/** Serialization failure and deadlock: Postgres has rolled back the transaction, and the client should retry. */
export const RETRYABLE = ['40001', '40P01']
const DISK_FULL = '53100'

/** A statement failed. `isSettled` is true if the statement certainly changed nothing. */
export class StatementError extends UnavailableError {
  override name = 'StatementError'
  /** The SQLSTATE, or the network error code. */
  readonly code: string
  readonly isSettled: boolean
  override readonly status: 503 | 507

  constructor(cause: unknown) {
    super('the database failed', { cause })
    this.code = codeOf(cause) ?? (cause instanceof Error ? cause.name : 'unknown')
    this.isSettled = cause instanceof NotSentError || (cause instanceof DatabaseError && cause.severity === 'ERROR')
    this.status = this.code === DISK_FULL ? 507 : 503
  }
}

/**
 * Makes a transaction commit asynchronously. Use it only for changes that can be restored, such as counts from the log.
 * A synchronous commit that waits for a standby ignores its timeout and keeps its locks, so an outage of the standby
 * would block all counting.
 */
export const ASYNCHRONOUS = 'set local synchronous_commit = off;'

/** The server accepts no writes, for example because it is a standby. */
export class ReadOnlyError extends Error {
  override name = 'ReadOnlyError'
  readonly code = READ_ONLY
  constructor() {
    super('the server is read-only')
  }
}

export type Rows = QueryArrayResult<unknown[]>['rows']
/** Runs statements, and returns the rows of the last one. */
export type Send = (statements: string) => Promise<Rows>
/** Runs statements in one transaction, and returns the rows of the last one. */
export type Run = (statements: string, timeoutMs: number) => Promise<Rows>
export type Usage = { busy: number; idle: number; waiting: number }

export type Database = AsyncDisposable & {
  /** The number of hosts. */
  hosts: number
  /** The index of the host that the next statement uses. */
  current(): number
  /**
   * Runs statements in one transaction and one round trip, and retries serialization failures and deadlocks.
   * @param verify throws if the rows show that another server is needed
   * @throws StatementError
   */
  run(statements: string, timeoutMs: number, verify?: (rows: Rows) => void): Promise<Rows>
  /** Runs a query on each of the other hosts, and returns the rows of those that respond in time. */
  runOnOthers(query: string, timeoutMs: number): Promise<Rows[]>
  /**
   * Runs `work` in a transaction.
   * @throws StatementError
   */
  transaction<Result>(work: (send: Send) => Promise<Result>, timeoutMs: number): Promise<Result>
  usage(): Usage
}

type Options = {
  /** A URL for each host. Only one host accepts writes. */
  urls: readonly Secret[]
  maxConnections: number
  onFailure?: (error: StatementError) => void
  onRetry?: (code: string) => void
}

/**
 * Connections to the host that accepts writes. After a connection fails, or a server turns out to be read-only, the
 * next host is used. No statement leaves state in its session, so PgBouncer may use transaction pooling.
 */
export function openDatabase({ urls, maxConnections: max, onFailure, onRetry }: Options): Database {
  const sockets = new Set<Socket>()
  const pools = urls.map((url) => openPool(url.reveal(), max, sockets))
  let current = 0

  async function use<Result>(work: (client: PoolClient) => Promise<Result>, timeoutMs: number): Promise<Result> {
    const index = current
    const moveOn = () => {
      if (current === index) current = (index + 1) % pools.length
    }
    try {
      return await useConnection(pools[index], work, timeoutMs, moveOn)
    } catch (cause) {
      const error = new StatementError(cause)
      onFailure?.(error)
      throw error
    }
  }

  return {
    hosts: urls.length,
    current: () => current,
    async run(statements, timeoutMs, verify = () => {}) {
      const deadline = performance.now() + timeoutMs
      for (;;) {
        const remainingMs = Math.max(1, Math.ceil(deadline - performance.now()))
        try {
          return await use(async (client) => {
            const rows = await send(client, `${limit(remainingMs)} ${statements}`)
            verify(rows)
            return rows
          }, remainingMs)
        } catch (error) {
          const isOver = deadline - performance.now() < MAX_RETRY_DELAY_MS
          if (!(error instanceof StatementError) || !RETRYABLE.includes(error.code) || isOver) throw error
          onRetry?.(error.code)
          await sleep(Math.random() * MAX_RETRY_DELAY_MS)
        }
      }
    },
    async runOnOthers(query, timeoutMs) {
      const others = pools.filter((_, index) => index !== current)
      const work = (client: PoolClient) => send(client, `${limit(timeoutMs)} ${query}`)
      const results = await Promise.allSettled(others.map((pool) => useConnection(pool, work, timeoutMs)))
      return results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []))
    },
    transaction: (work, timeoutMs) =>
      use(async (client) => {
        await send(client, `begin; ${limit(timeoutMs)} ${ASYNCHRONOUS}`)
        try {
          const result = await work((statements) => send(client, statements))
          await send(client, 'commit')
          return result
        } catch (error) {
          await send(client, 'rollback')
          throw error
        }
      }, timeoutMs),
    usage() {
      const sum = (of: (pool: Pool) => number) => pools.reduce((total, pool) => total + of(pool), 0)
      const idle = sum((pool) => pool.idleCount)
      return { busy: sum((pool) => pool.totalCount) - idle, idle, waiting: sum((pool) => pool.waitingCount) }
    },
    async [Symbol.asyncDispose]() {
      const ended = Promise.all(pools.map((pool) => pool.end()))
      await Promise.race([ended, sleep(CLOSE_TIMEOUT_MS, undefined, { ref: false })])
      // A hung server does not close its side of a connection.
      for (const socket of sockets) socket.destroy()
    },
  }
}

async function send(client: PoolClient, text: string): Promise<Rows> {
  const results: QueryArrayResult<unknown[]> | QueryArrayResult<unknown[]>[] = await client.query<unknown[]>({
    text,
    rowMode: 'array',
  })
  return (Array.isArray(results) ? results.at(-1)?.rows : results.rows) ?? []
}

function limit(timeoutMs: number): string {
  return `set local statement_timeout = ${Math.max(1, timeoutMs - SERVER_MARGIN_MS)};`
}
