import type { Server, Socket } from 'node:net'
import type { Logger } from '../runtime/log.ts'
import { createLogThrottle } from '../runtime/log-throttle.ts'
import { isLoopback } from '../runtime/loopback.ts'

/** Closes new connections from a client address that already has `max`. Connections from loopback are exempt. */
export function limitConnections(server: Server, max: number, log: Logger): void {
  const connections = new Map<string, number>()
  const throttle = createLogThrottle()

  function release(address: string): void {
    const count = (connections.get(address) ?? 1) - 1
    if (count > 0) connections.set(address, count)
    else connections.delete(address)
  }

  server.on('connection', (socket: Socket) => {
    const address = socket.remoteAddress?.replace(/^::ffff:/, '')
    if (address === undefined || isLoopback(address)) return
    const count = connections.get(address) ?? 0
    if (count < max) {
      connections.set(address, count + 1)
      socket.once('close', () => release(address))
      return
    }
    socket.destroy()
    const times = throttle('refused')
    if (times) log.warn({ address, max, times }, 'too many connections from one client; closing the new one')
  })
}
