import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { connect } from 'nats'
import { natsServerVersion } from '../../scripts/nats-server.ts'
import { type Child, startChild } from './child.ts'
import { unlessCiNeeds } from './ci-needs.ts'
import { freePort } from './ports.ts'

/** The server that tests use: NATS_SERVER_BIN, or the one on the PATH. */
const program = process.env.NATS_SERVER_BIN || 'nats-server'

/** The version of the server that tests use; undefined where there is none. */
export const natsVersion = natsServerVersion(program)
unlessCiNeeds('nats-server', natsVersion !== undefined)

/** A PATH on which the tests' server is the first. */
export const pathWithNats = [dirname(program), process.env.PATH].join(delimiter)

export type NatsServer = AsyncDisposable & {
  url: string
  pid: () => number
  signal(signal: NodeJS.Signals): Promise<void>
  /** Starts it again, with the same data, where it has ended; lets it go on where it was stopped. */
  start(): Promise<void>
  /** Runs something with a connection of its own. */
  use<Result>(work: (connection: Awaited<ReturnType<typeof connect>>) => Promise<Result>): Promise<Result>
}

export type NatsOptions = { config?: string }

/** A real nats-server with JetStream, on a free port, with data of its own, and a configuration file if one is named. */
export async function startNatsServer({ config }: NatsOptions = {}): Promise<NatsServer> {
  const folder = await mkdtemp(join(tmpdir(), 'nats-'))
  const port = await freePort()
  const args = ['--addr', '127.0.0.1', '--port', String(port), '--jetstream', '--store_dir', folder]
  if (config) args.push('--config', config)
  let child: Child | undefined

  async function start(): Promise<void> {
    if (child?.isRunning()) return child.signal('SIGCONT')
    child = startChild(program, args)
    await child.line((line) => line.includes('Server is ready') || undefined)
  }

  await start()
  return {
    url: `nats://127.0.0.1:${port}`,
    pid: () => child?.pid ?? 0,
    start,
    async signal(name) {
      await child?.signal(name)
    },
    async use(work) {
      const connection = await connect({ servers: `127.0.0.1:${port}` })
      try {
        return await work(connection)
      } finally {
        await connection.close()
      }
    },
    async [Symbol.asyncDispose]() {
      await child?.[Symbol.asyncDispose]()
      await rm(folder, { recursive: true, force: true })
    },
  }
}
