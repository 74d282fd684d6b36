import { once } from 'node:events'
import { readdir, rm } from 'node:fs/promises'
import { createServer } from 'node:http'
import { join } from 'node:path'
import { getRequestListener } from '@hono/node-server'
import { Client } from 'undici'
import { services } from '../services.ts'
import type { InstanceResponse } from '../shared/client/instance-response.ts'
import type { ServiceClient } from '../shared/client/service-client.ts'
import { codeOf } from '../shared/runtime/error-code.ts'
import type { Logger } from '../shared/runtime/log.ts'
import { toReason } from '../shared/runtime/reason.ts'
import type { App } from '../shared/service/listen.ts'

/** Longer paths do not fit into a socket address. */
const MAX_PATH_BYTES = 103

/** The other processes that share this one's port. A request to the port may reach any of them. */
export type Siblings = {
  client: Pick<ServiceClient, 'name' | 'getAll'>
  /** Serves `app` to the siblings, on a Unix socket that only processes of the same user can open. */
  serve(app: App): Promise<AsyncDisposable>
}

type Options = { directory: string; port: number; log: Logger }

/** Processes find each other by their sockets in a directory. */
export function createSiblings({ directory, port, log }: Options): Siblings {
  const prefix = `play-${port}-`
  const ownSocket = `${prefix}${process.pid}.socket`

  async function list(): Promise<string[]> {
    const names = await readdir(directory).catch(() => [])
    return names.filter((name) => name.startsWith(prefix) && name.endsWith('.socket') && name !== ownSocket)
  }

  return {
    client: {
      name: services.play.name,
      async getAll(path, signal) {
        const files = (await list()).map((name) => join(directory, name))
        return (await Promise.all(files.map((file) => read(file, path, signal)))).flat()
      },
    },
    async serve(app) {
      const file = join(directory, ownSocket)
      const server = createServer(getRequestListener(app.fetch))
      try {
        if (Buffer.byteLength(file) > MAX_PATH_BYTES) throw new Error(`its path has more than ${MAX_PATH_BYTES} bytes`)
        // A killed process with the same id may have left its socket behind.
        await rm(file, { force: true })
        await once(server.listen(file), 'listening')
      } catch (error) {
        log.warn({ file, reason: toReason(error) }, "other processes on this port cannot read this one's traces")
      }
      return {
        async [Symbol.asyncDispose]() {
          server.close()
          server.closeAllConnections()
        },
      }
    },
  }
}

/** Returns no responses if the process that created the socket has ended. */
async function read(file: string, path: string, signal: AbortSignal): Promise<InstanceResponse[]> {
  await using client = toDisposable(new Client('http://localhost', { socketPath: file }))
  try {
    const { statusCode: status, body } = await client.request({ method: 'GET', path, signal })
    return [{ url: file, response: { status, body: await body.json() } }]
  } catch (error) {
    if (codeOf(error) !== 'ECONNREFUSED' && codeOf(error) !== 'ENOENT') return [{ url: file, response: undefined }]
    await rm(file, { force: true })
    return []
  }
}

function toDisposable(client: Client) {
  return {
    request: client.request.bind(client),
    [Symbol.asyncDispose]: () => client.destroy(),
  }
}
