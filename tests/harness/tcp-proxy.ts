import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { withResources } from './resources.ts'
import { type SocketServer, startSocketServer } from './socket-server.ts'

/** A TCP proxy that can simulate network failures. */
export type TcpProxy = AsyncDisposable & {
  url: string
  /** The number of connections that the client has not closed. */
  open: () => number
  /** Keeps the open connections open, but drops all further data on them. */
  silence(): void
  /** Holds back the data that the server sends over connections that are opened from now on. */
  hold(): void
  /** Delivers the held-back data, then closes those connections, as a server does if its client does not respond. */
  release(): void
  /** Closes the open connections. */
  close(): void
  /** Closes each open connection in the middle of the next chunk that the client or the server sends. */
  cut(): void
}

type Connection = { client: Socket; server: Socket; isSilent: boolean; isDoomed: boolean; held: Buffer[] | undefined }

/**
 * `jitterMs` is added to the delay of every other chunk. `bytesPerSecond` limits each direction of a connection.
 * `rewrite` changes what the server sends.
 */
type Options = { jitterMs?: number; bytesPerSecond?: number; rewrite?: (data: Buffer) => Buffer }

const CLOSE_AFTER_MS = 1_000
const SLICES_PER_SECOND = 50

/**
 * @param target the server's URL
 * @param delayMs delay of the data in each direction
 */
export async function startTcpProxy(target: string, delayMs = 0, options: Options = {}): Promise<TcpProxy> {
  await using stack = new AsyncDisposableStack()
  const { protocol, hostname, port } = new URL(target)
  const connections = new Set<Connection>()
  let isHolding = false

  function deliver({ client, isDoomed }: Connection, to: Socket, data: Buffer): void {
    if (isDoomed) to.write(data.subarray(0, data.length / 2), () => client.destroy())
    else to.write(data)
  }

  /** Returns a function that delivers data to `to`, in order. */
  function createLine(connection: Connection, to: Socket): (data: Buffer) => void {
    const { jitterMs = 0, bytesPerSecond = Number.POSITIVE_INFINITY } = options
    let delivered = Promise.resolve()
    let chunks = 0
    /** The time at which the simulated line will have transferred all data that it has received. */
    let idleAt = 0
    return (data) => {
      chunks += 1
      const arrivesAt = performance.now() + delayMs + (chunks % 2 === 0 ? jitterMs : 0)
      delivered = delivered.then(async () => {
        for (const slice of slices(data, bytesPerSecond / SLICES_PER_SECOND)) {
          idleAt = Math.max(arrivesAt, idleAt) + (slice.length / bytesPerSecond) * 1_000
          await sleepUntil(idleAt)
          deliver(connection, to, slice)
        }
      })
    }
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
      const [toServer, toClient] = [createLine(connection, server), createLine(connection, client)]
      client.on('data', (data: Buffer) => connection.isSilent || toServer(data))
      server.on('data', (sent: Buffer) => {
        const data = options.rewrite ? options.rewrite(sent) : sent
        if (connection.held) connection.held.push(data)
        else if (!connection.isSilent) toClient(data)
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

async function sleepUntil(time: number): Promise<void> {
  const ms = time - performance.now()
  if (ms > 0) await sleep(ms)
}

function* slices(data: Buffer, size: number): Generator<Buffer> {
  for (let start = 0; start < data.length; start += size) yield data.subarray(start, start + size)
}
