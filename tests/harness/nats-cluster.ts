import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { connect, type NatsConnection } from 'nats'
import { type Child, startChild } from './child.ts'
import { eventually } from './eventually.ts'
import { natsProgram } from './nats-server.ts'
import { freePort } from './ports.ts'
import { withResources } from './resources.ts'
import { createTempDirectory } from './temp-directory.ts'

/** Short, so that `connect` soon skips a suspended server, which accepts connections but does not respond. */
const CONNECT_TIMEOUT_MS = 500

export type ClusterServer = {
  name: string
  url: string
  signal: Child['signal']
  /** Restarts the server with the same data if it has exited, or resumes it if it is suspended. */
  start(): Promise<void>
}

export type NatsCluster = AsyncDisposable & {
  /** The addresses of all servers, separated by commas. */
  url: string
  servers: ClusterServer[]
  use<Result>(work: (connection: NatsConnection) => Promise<Result>): Promise<Result>
}

/** Starts a cluster of three real nats-servers with JetStream. */
export async function startNatsCluster(): Promise<NatsCluster> {
  await using stack = new AsyncDisposableStack()
  const directory = stack.use(await createTempDirectory('nats-cluster'))
  const names = ['a', 'b', 'c']
  const ports = await Promise.all(names.map(freePort))
  const routes = await Promise.all(names.map(freePort))
  const servers: ClusterServer[] = []
  for (const [n, name] of names.entries()) {
    const folder = join(directory.path, name)
    await mkdir(folder)
    const config = {
      server_name: name,
      host: '127.0.0.1',
      port: ports[n],
      jetstream: { store_dir: folder },
      cluster: {
        name: 'test',
        host: '127.0.0.1',
        port: routes[n],
        routes: routes.map((port) => `nats://127.0.0.1:${port}`),
      },
    }
    await writeFile(join(folder, 'nats.conf'), JSON.stringify(config))
    servers.push(startServer({ name, url: `nats://127.0.0.1:${ports[n]}` }, join(folder, 'nats.conf'), stack))
  }
  const url = ports.map((port) => `nats://127.0.0.1:${port}`).join(',')
  async function use<Result>(work: (connection: NatsConnection) => Promise<Result>): Promise<Result> {
    const connection = await connect({ servers: url.split(','), timeout: CONNECT_TIMEOUT_MS })
    try {
      return await work(connection)
    } finally {
      await connection.close()
    }
  }
  await eventually(() => use(async (connection) => (await connection.jetstreamManager()).getAccountInfo()))
  return withResources({ url, servers, use }, stack)
}

function startServer(
  named: Pick<ClusterServer, 'name' | 'url'>,
  config: string,
  stack: AsyncDisposableStack,
): ClusterServer {
  const startOnce = () => startChild(natsProgram, ['--config', config])
  let child = startOnce()
  stack.defer(() => child[Symbol.asyncDispose]())
  return {
    ...named,
    signal: (signal) => child.signal(signal),
    async start() {
      if (child.isRunning()) return child.signal('SIGCONT')
      child = startOnce()
      await child.line((line) => line.includes('Server is ready') || undefined)
    },
  }
}
