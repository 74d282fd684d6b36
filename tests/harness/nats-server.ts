import { readdir } from 'node:fs/promises'
import { delimiter, dirname, join } from 'node:path'
import { connect, type JetStreamManager, type NatsConnection } from 'nats'
import { natsServerVersion } from '../../scripts/nats-server.ts'
import { hasCode, STREAM_NOT_FOUND } from '../../shared/nats/jetstream.ts'
import { startChild } from './child.ts'
import { failIfCiNeeds } from './ci-needs.ts'
import { eventually } from './eventually.ts'
import { freePort } from './ports.ts'
import { withResources } from './resources.ts'
import { createTempDirectory } from './temp-directory.ts'

/** The server under test: NATS_SERVER_BIN, or the one on the PATH. */
export const natsProgram = process.env.NATS_SERVER_BIN || 'nats-server'

/** The version of the server under test; undefined if none is installed. */
export const natsVersion = natsServerVersion(natsProgram)
failIfCiNeeds('nats-server', natsVersion !== undefined)

/** A PATH that starts with the directory of the server under test. */
export const pathWithNats = [dirname(natsProgram), process.env.PATH].join(delimiter)

export type NatsServer = AsyncDisposable & {
  url: string
  pid: () => number
  signal(signal: NodeJS.Signals): Promise<void>
  /** Restarts the server with the same data if it has exited, or resumes it if it is suspended. */
  start(): Promise<void>
  /** Runs `work` with a new connection, and closes it. */
  use<Result>(work: (connection: NatsConnection) => Promise<Result>): Promise<Result>
  /** The directory of a stream's files. */
  directoryOf(stream: string): string
  /** Deletes a stream if it exists, and waits until its files are deleted. */
  deleteStream(name: string): Promise<void>
}

/** `config` is the path of a configuration file. */
export type NatsOptions = { config?: string }

/** Starts a real nats-server with JetStream and no data, on a free port. */
export async function startNatsServer({ config }: NatsOptions = {}): Promise<NatsServer> {
  await using stack = new AsyncDisposableStack()
  const directory = stack.use(await createTempDirectory('nats'))
  const port = await freePort()
  const args = ['--addr', '127.0.0.1', '--port', String(port), '--jetstream', '--store_dir', directory.path]
  if (config) args.push('--config', config)
  const startOnce = () => startChild(natsProgram, args)
  const ready = (line: string) => line.includes('Server is ready') || undefined
  let child = startOnce()
  stack.defer(() => child[Symbol.asyncDispose]())
  await child.line(ready)
  const streams = join(directory.path, 'jetstream', '$G', 'streams')

  async function use<Result>(work: (connection: NatsConnection) => Promise<Result>): Promise<Result> {
    const connection = await connect({ servers: `127.0.0.1:${port}` })
    try {
      return await work(connection)
    } finally {
      await connection.close()
    }
  }

  const server = {
    url: `nats://127.0.0.1:${port}`,
    pid: () => child.pid,
    signal: (name: NodeJS.Signals) => child.signal(name),
    async start() {
      if (child.isRunning()) return child.signal('SIGCONT')
      child = startOnce()
      await child.line(ready)
    },
    use,
    directoryOf: (stream: string) => join(streams, stream),
    async deleteStream(name: string) {
      await use(async (connection) => deleteIfExists(await connection.jetstreamManager(), name))
      // nats-server 2.15 acknowledges the deletion before it deletes the files. A stream that is recreated in between
      // still has the old messages.
      await eventually(async () => {
        const files = await readdir(streams).catch(() => [])
        if (files.some((file) => file === name || file === `.${name}`)) throw new Error(`${name} still has files`)
      })
    },
  }
  return withResources(server, stack)
}

async function deleteIfExists(jsm: JetStreamManager, stream: string): Promise<void> {
  try {
    await jsm.streams.delete(stream)
  } catch (error) {
    if (!hasCode(error, STREAM_NOT_FOUND)) throw error
  }
}
