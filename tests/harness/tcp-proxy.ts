import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { withResources } from './resources.ts'
import { type SocketServer, startSocketServer } from './socket-server.ts'

/** A TCP proxy that can fail in the ways in which networks fail. */
export type TcpProxy = AsyncDisposable & {
  url: string
  /** The number of connections that the client has not closed. */
  open: () => number
  /** Drops all further data of the open connections, and keeps the connections open. */
  silence(): void
  /** Holds back the data that the server sends over connections that are opened from now on. */
  hold(): void
  /** Delivers the held-back data, then closes these connections, like a server that gets no response. */
  release(): void
  /** Closes the open connections. */
  close(): void
  /** Closes each open connection in the middle of the next data that the client or the server sends. */
  cut(): void
}

type Connection = { client: Socket; server: Socket; isSilent: boolean; isDoomed: boolean; held: Buffer[] | undefined }

const CLOSE_AFTER_MS = 1_000

/**
 * @param target the URL of the server
 * @param delayMs delay of the data in each direction
 */
export async function startTcpProxy(target: string, delayMs = 0): Promise<TcpProxy> {
  await using stack = new AsyncDisposableStack()
  const { protocol, hostname, port } = new URL(target)
  const connections = new Set<Connection>()
  let isHolding = false

  async function send({ client, isDoomed }: Connection, to: Socket, data: Buffer): Promise<void> {
    // Timers with the same delay fire in order.
    if (delayMs > 0) await sleep(delayMs)
    if (isDoomed) to.write(data.subarray(0, data.length / 2), () => client.destroy())
    else to.write(data)
  }

  const proxy: SocketServer = stack.use(
    await startSocketServer((client) => {
      const server = connect(Number(port), hostname)
      const connection: Connection = {
        client,
        server,
        isSilent: false,
        isDoomed: false,
        held: isHolding ? [] : undefined,
      }
      connections.add(connection)
      client.on('data', (data: Buffer) => connection.isSilent || send(connection, server, data))
      server.on('data', (data: Buffer) => {
        if (connection.held) connection.held.push(data)
        else if (!connection.isSilent) void send(connection, client, data)
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
      url: url.replace('http:', protocol),
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
      cut() {
        for (const connection of connections) connection.isDoomed = true
      },
    },
    stack,
  )
}
