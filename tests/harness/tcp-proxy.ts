import { connect, type Socket } from 'node:net'
import { withResources } from './resources.ts'
import { type SocketServer, startSocketServer } from './socket-server.ts'

/** A TCP proxy that can fail as networks do. */
export type TcpProxy = AsyncDisposable & {
  url: string
  /** The number of connections that the client has not closed. */
  open: () => number
  /** From now on, loses all data of the open connections, and keeps them open. */
  silence(): void
  /** Withholds what the server sends over connections that are opened from now on. */
  hold(): void
  /** Delivers what is withheld, and soon closes these connections, as a server does that gets no response. */
  release(): void
  /** Closes the open connections. */
  close(): void
}

type Connection = { client: Socket; server: Socket; isSilent: boolean; held: Buffer[] | undefined }

const CLOSE_AFTER_MS = 1_000

/** @param target the URL of the server */
export async function startTcpProxy(target: string): Promise<TcpProxy> {
  await using stack = new AsyncDisposableStack()
  const { hostname, port } = new URL(target)
  const connections = new Set<Connection>()
  let isHolding = false
  const proxy: SocketServer = stack.use(
    await startSocketServer((client) => {
      const server = connect(Number(port), hostname)
      const connection: Connection = { client, server, isSilent: false, held: isHolding ? [] : undefined }
      connections.add(connection)
      client.on('data', (data) => connection.isSilent || server.write(data))
      server.on('data', (data: Buffer) => {
        if (connection.held) connection.held.push(data)
        else if (!connection.isSilent) client.write(data)
      })
      client.on('close', () => {
        connections.delete(connection)
        server.destroy()
      })
      server.on('close', () => connection.isSilent || client.destroy()).on('error', () => client.destroy())
    }),
  )
  const { url } = proxy
  return withResources(
    {
      url: url.replace('http:', 'nats:'),
      open: () => connections.size,
      silence() {
        for (const connection of connections) connection.isSilent = true
      },
      hold() {
        isHolding = true
      },
      release() {
        isHolding = false
        for (const { client, held } of connections) {
          if (!held) continue
          for (const data of held) client.write(data)
          setTimeout(() => client.destroy(), CLOSE_AFTER_MS)
        }
      },
      close() {
        for (const { client } of connections) client.destroy()
      },
    },
    stack,
  )
}
