import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { toOrigin } from '../../shared/runtime/origin.ts'

export type SocketServer = AsyncDisposable & { url: string; connections: () => number }

/** Starts a server that passes each connection to `handle`. By default it accepts connections and never responds. */
export async function startSocketServer(handle: (socket: Socket) => void = () => {}): Promise<SocketServer> {
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => socket.destroy())
    socket.resume()
    handle(socket)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: toOrigin('127.0.0.1', (server.address() as AddressInfo).port),
    connections: () => sockets.size,
    async [Symbol.asyncDispose]() {
      server.close()
      for (const socket of sockets) socket.destroy()
      await once(server, 'close')
    },
  }
}
