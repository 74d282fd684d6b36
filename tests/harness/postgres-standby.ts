import { expect } from 'vitest'
import { eventually } from './eventually.ts'
import { type PostgresServer, startPostgres } from './postgres.ts'
import { withResources } from './resources.ts'
import { startTcpProxy } from './tcp-proxy.ts'

/** Two servers, one of which is the primary. */
export type PostgresPair = AsyncDisposable & {
  /** The URL of an empty database, with both hosts. */
  url: string
  /** The current primary: the server that was promoted last, if there was a promotion. */
  primary(): PostgresServer
  /** The synchronous standby or, after a promotion, the former primary. */
  other(): PostgresServer
  /** The URL of the database on one server. */
  urlOn(server: PostgresServer): string
  /** Disconnects the standby from the primary permanently. */
  disconnect(): Promise<void>
  /** Promotes the standby. The new primary has no standby. */
  promote(): Promise<void>
  /** Replaces the former primary with a new standby on the same port. */
  replaceFormer(): Promise<void>
}

/** Starts a primary and a synchronous standby that follows it through a proxy. */
export async function startPostgresPair(): Promise<PostgresPair> {
  await using stack = new AsyncDisposableStack()
  let primary = stack.use(await startPostgres())
  const created = new URL(await primary.createDatabase())
  const standbys = stack.use(new AsyncDisposableStack())
  let { standby: other, disconnect } = await startStandby(primary, standbys)
  const hosts = [primary, other].map((server) => new URL(server.urlOf('')).host)
  const pair = {
    url: `postgres://postgres@${hosts}${created.pathname}?target_session_attrs=read-write`,
    primary: () => primary,
    other: () => other,
    urlOn: (server: PostgresServer) => server.urlOf(created.pathname.slice(1)),
    disconnect: () => disconnect(),
    async promote() {
      await other.use(other.urlOf('postgres'), (client) => client.query('select pg_promote()'))
      ;[primary, other] = [other, primary]
    },
    async replaceFormer() {
      await other[Symbol.asyncDispose]()
      ;({ standby: other, disconnect } = await startStandby(primary, standbys, portOf(other.urlOf(''))))
    },
  }
  return withResources(pair, stack)
}

async function startStandby(primary: PostgresServer, stack: AsyncDisposableStack, port?: number) {
  const proxy = await startTcpProxy(primary.urlOf('postgres'))
  let closed: PromiseLike<void> | undefined
  const disconnect = async () => (closed ??= proxy[Symbol.asyncDispose]())
  stack.defer(disconnect)
  const replication = new URL(primary.urlOf('postgres'))
  replication.port = String(portOf(proxy.url))
  const standby = stack.use(await startPostgres({ primary: replication.href, ...(port && { port }) }))
  await primary.use(primary.urlOf('postgres'), async (client) => {
    await client.query(`alter system set synchronous_standby_names = '*'`)
    await client.query('select pg_reload_conf()')
    await eventually(async () => {
      const { rows } = await client.query('select sync_state from pg_stat_replication')
      expect(rows).toEqual([{ sync_state: 'sync' }])
    })
  })
  return { standby, disconnect }
}

function portOf(url: string): number {
  return Number(new URL(url).port)
}
