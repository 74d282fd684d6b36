import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { isFree } from '../../scripts/start/free-port.ts'

/** A port that nobody listens on at the moment. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

/** The first of ports that `npm start -- --port` takes: it, those that follow it, and as far off, that of NATS. */
export async function freePortRange(): Promise<number> {
  for (;;) {
    const edge = 10_000 + Math.floor(Math.random() * 20_000)
    const needed = [edge, edge + 1, edge + 2, edge + 3, edge + 4, edge - 8_080 + 4_222]
    if ((await Promise.all(needed.map((port) => isFree(port)))).every(Boolean)) return edge
  }
}
