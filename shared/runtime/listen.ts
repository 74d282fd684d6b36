import { once } from 'node:events'
import type { Server } from 'node:http'
import { type AddressInfo, createServer } from 'node:net'
import { createAdaptorServer } from '@hono/node-server'
import type { Logger } from './log.ts'
import { toOrigin } from './origin.ts'

/** How long open requests may take to finish once the server closes. */
const GRACE_MS = 5_000

/** Connections that may wait to be accepted. With Node's 511 a burst of 2,000 has some wait a second to try again. */
const BACKLOG = 4_096

/** Where the service should listen it cannot. The message is one line that names the place. */
export class ListenError extends Error {
  override name = 'ListenError'
}

/** The port, or for 0 a free one: for who must know it before it listens. */
export async function choosePort(port: number, host: string): Promise<number> {
  if (port !== 0) return port
  const server = createServer().listen(0, host)
  await once(server, 'listening')
  const { port: free } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return free
}

export type App = Pick<Parameters<typeof createAdaptorServer>[0], 'fetch'>

export type Listening = AsyncDisposable & { port: number; url: string }

/**
 * Serves `app` over HTTP/1.1 with keep-alive. Disposing stops listening, lets open requests finish, and after a grace
 * period cuts what is left.
 * @throws ListenError
 */
export async function listen(app: App, at: { host: string; port: number; log: Logger }): Promise<Listening> {
  const server = createAdaptorServer({ fetch: app.fetch }) as Server
  server.listen({ port: at.port, host: at.host, backlog: BACKLOG })
  await once(server, 'listening').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'EADDRINUSE') throw new ListenError(`port ${at.port} on ${at.host} is already in use`)
    throw new ListenError(`cannot listen on ${at.host}, port ${at.port}: ${error.code}`)
  })
  const { port } = server.address() as AddressInfo
  const url = toOrigin(at.host, port)
  at.log.info({ url }, 'listening')
  return {
    port,
    url,
    async [Symbol.asyncDispose]() {
      const closed = once(server, 'close')
      server.close()
      // A connection that was busy when close() was called turns idle later, and would be kept open until it times out.
      const sweep = setInterval(() => server.closeIdleConnections(), 50)
      const cut = setTimeout(() => server.closeAllConnections(), GRACE_MS)
      await closed
      clearInterval(sweep)
      clearTimeout(cut)
    },
  }
}
