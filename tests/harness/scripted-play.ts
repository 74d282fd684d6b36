import { once } from 'node:events'
import { createServer, type IncomingMessage } from 'node:http'
import { buffer } from 'node:stream/consumers'
import { toOrigin } from '../../shared/runtime/origin.ts'

export type ScriptedPlay = AsyncDisposable & {
  url: string
  requests: Pick<IncomingMessage, 'method' | 'url' | 'headers'>[]
  /** The number of connections so far. */
  connections: () => number
}

/**
 * Starts a server that records requests and responds 200. If `fails` returns a failure for a request, the server reads
 * the whole request, and then closes the connection (`close`) or never responds (`hang`).
 */
export async function startScriptedPlay(
  fails: (request: IncomingMessage) => 'close' | 'hang' | undefined = () => undefined,
): Promise<ScriptedPlay> {
  const requests: ScriptedPlay['requests'] = []
  let connections = 0
  const server = createServer(async (request, response) => {
    const { method, url, headers } = request
    requests.push({ method, url, headers })
    await buffer(request)
    const failure = fails(request)
    if (failure === 'close') request.socket.destroy()
    if (!failure) response.setHeader('content-type', 'application/json').end('{}')
  })
  server.on('connection', () => (connections += 1))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('the server has no port')
  return {
    url: toOrigin('127.0.0.1', address.port),
    requests,
    connections: () => connections,
    async [Symbol.asyncDispose]() {
      server.close()
      server.closeAllConnections()
    },
  }
}
