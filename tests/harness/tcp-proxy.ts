import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

export type TcpProxy = AsyncDisposable & {
  port: number
  /** Closes all connections abruptly. New ones are accepted. */
  cut(): void
}

/**
 * Forwards connections to a local port.
 * @param delayMs how much later each chunk arrives, in each direction
 */
export async function startTcpProxy(target: number, { delayMs = 0 } = {}): Promise<TcpProxy> {
  const sockets = new Set<Socket>()

  function track(socket: Socket, other: () => Socket): void {
    sockets.add(socket)
    socket.on('error', () => undefined)
    socket.on('close', () => {
      sockets.delete(socket)
      other().destroy()
    })
    socket.on('data', async (chunk) => {
      // Timers with the same delay fire in order.
      if (delayMs > 0) await sleep(delayMs)
      other().write(chunk)
    })
  }

  const server = createServer((client) => {
    const upstream = connect(target, '127.0.0.1')
    track(client, () => upstream)
    track(upstream, () => client)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const cut = () => {
    for (const socket of sockets) socket.resetAndDestroy()
  }
  return {
    port: (server.address() as AddressInfo).port,
    cut,
    async [Symbol.asyncDispose]() {
      server.close()
      cut()
      await once(server, 'close')
    },
  }
}
