import type { Server, Socket } from 'node:net'
import { type Networks, toClient, toIpAddress } from '../runtime/ip-address.ts'
import type { Logger } from '../runtime/log.ts'
import { createLogThrottle } from '../runtime/log-throttle.ts'
import { isLoopback } from '../runtime/loopback.ts'

type Options = { max: number; log: Logger; trustedProxies?: Networks | undefined }

/**
 * Closes new connections from a client that already has `max` connections. Connections from loopback are exempt, and so
 * are those from trusted proxies, because a proxy carries requests from many clients.
 */
export function limitConnections(server: Server, { max, log, trustedProxies }: Options): void {
  const connections = new Map<string, number>()
  const throttle = createLogThrottle()

  function release(client: string): void {
    const count = (connections.get(client) ?? 1) - 1
    if (count > 0) connections.set(client, count)
    else connections.delete(client)
  }

  server.on('connection', (socket: Socket) => {
    const address = toIpAddress(socket.remoteAddress ?? '')
    if (address === undefined || isLoopback(address) || trustedProxies?.includes(address)) return
    const client = toClient(address)
    const count = connections.get(client) ?? 0
    if (count < max) {
      connections.set(client, count + 1)
      socket.once('close', () => release(client))
      return
    }
    socket.destroy()
    const times = throttle('refused')
    if (times) log.warn({ address, max, times }, 'too many connections from one client; closing the new one')
  })
}
