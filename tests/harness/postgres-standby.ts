import { expect } from 'vitest'
import { eventually } from './eventually.ts'
import { type PostgresServer, startPostgres } from './postgres.ts'
import { withResources } from './resources.ts'
import { startTcpProxy } from './tcp-proxy.ts'

export type PostgresPair = AsyncDisposable & {
  primary: PostgresServer
  /** Confirms the synchronous commits of the primary. */
  standby: PostgresServer
  /** An empty database: its name, and its URL with both hosts. */
  database: string
  url: string
  /** Disconnects the standby from the primary for good. */
  disconnect(): Promise<void>
  /** Turns the standby into a primary without a standby of its own. */
  promote(): Promise<void>
}

/** Starts a primary and a synchronous standby that follows it through a proxy. */
export async function startPostgresPair(): Promise<PostgresPair> {
  await using stack = new AsyncDisposableStack()
  const primary = stack.use(await startPostgres())
  const created = new URL(await primary.createDatabase())
  const database = created.pathname.slice(1)
  const proxy = await startTcpProxy(primary.urlOf('postgres'))
  let disconnected: PromiseLike<void> | undefined
  const disconnect = async () => (disconnected ??= proxy[Symbol.asyncDispose]())
  stack.defer(disconnect)
  const replication = new URL(primary.urlOf('postgres'))
  replication.port = new URL(proxy.url).port
  const standby = stack.use(await startPostgres({ primary: replication.href }))
  await primary.use(primary.urlOf('postgres'), async (client) => {
    await client.query(`alter system set synchronous_standby_names = '*'`)
    await client.query('select pg_reload_conf()')
    await eventually(async () => {
      const { rows } = await client.query('select sync_state from pg_stat_replication')
      expect(rows).toEqual([{ sync_state: 'sync' }])
    })
  })
  const hosts = [primary, standby].map((server) => new URL(server.urlOf(database)).host)
  const pair = {
    primary,
    standby,
    database,
    url: `postgres://postgres@${hosts}/${database}?target_session_attrs=read-write`,
    disconnect,
    async promote() {
      await standby.use(standby.urlOf('postgres'), (client) => client.query('select pg_promote()'))
    },
  }
  return withResources(pair, stack)
}
