import { once } from 'node:events'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { toOrigin } from '../runtime/origin.ts'

export type HttpServer = AsyncDisposable & { port: number; url: string }

/** Serves `handle` on loopback, on a free port by default. Disposal closes all connections, and is idempotent. */
export async function startHttpServer(handle: RequestListener, port = 0): Promise<HttpServer> {
  const server = createServer(handle).listen(port, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address() as AddressInfo
  return {
    port: address.port,
    url: toOrigin('127.0.0.1', address.port),
    async [Symbol.asyncDispose]() {
      if (!server.listening) return
      server.close()
      server.closeAllConnections()
      await once(server, 'close')
    },
  }
}
