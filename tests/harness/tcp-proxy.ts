import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

export type TcpProxy = AsyncDisposable & {
  port: number
  /** Closes each connection in the middle of its next chunk. New connections work. */
  cut(): void
}

/**
 * Forwards connections to a local port.
 * @param delayMs how much later each chunk arrives, in each direction
 */
export async function startTcpProxy(target: number, delayMs = 0): Promise<TcpProxy> {
  const sockets = new Set<Socket>()
  let doomed = new Set<Socket>()

  function forward(from: Socket, to: Socket): void {
    sockets.add(from)
    from.on('error', () => undefined)
    from.on('close', () => {
      sockets.delete(from)
      to.destroy()
    })
    from.on('data', async (chunk: Buffer) => {
      // Timers with the same delay fire in order.
      if (delayMs > 0) await sleep(delayMs)
      if (!doomed.has(from)) return to.write(chunk)
      to.write(chunk.subarray(0, chunk.length / 2), () => to.destroy())
    })
  }

  const server = createServer((client) => {
    const upstream = connect(target, '127.0.0.1')
    forward(client, upstream)
    forward(upstream, client)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    cut() {
      doomed = new Set(sockets)
    },
    async [Symbol.asyncDispose]() {
      server.close()
      for (const socket of sockets) socket.destroy()
      await once(server, 'close')
    },
  }
}
