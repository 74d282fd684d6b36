import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { isFree } from '../../scripts/start/free-port.ts'
import { parseProcfile, portsOf } from '../../scripts/start/procfile.ts'
import { type ServiceName, serviceEntries, services } from '../../services.ts'
import { toOrigin } from '../../shared/runtime/origin.ts'

/**
 * Returns a free port below the ephemeral range, so that no outgoing connection takes it while its server restarts.
 */
export function freePort(): Promise<number> {
  return freePortWith([0])
}

/** Returns the first of `count` consecutive free ports. */
export function freePorts(count: number): Promise<number> {
  return freePortWith(Array.from({ length: count }, (_, offset) => offset))
}

/**
 * Returns a port for the edge such that all ports of `npm start -- --port N --consul --cluster` are free, including
 * those of NATS and Consul.
 */
export function freePortRange(): Promise<number> {
  const commands = ['Procfile', 'Procfile.cdn', 'Procfile.consul', 'Procfile.cluster'].flatMap((file) =>
    parseProcfile(readFileSync(file, 'utf8')),
  )
  return freePortWith([...new Set(commands.flatMap(portsOf))].map((port) => port - services.play.port))
}

/** A service's port if the edge listens on `edgePort`: all ports shift by the same amount. */
export function portNextTo(edgePort: number, name: ServiceName): number {
  return services[name].port - services.play.port + edgePort
}

/** The URL settings of all services for an edge on `edgePort`. */
export function urlSettingsNextTo(edgePort: number): Record<string, string> {
  return Object.fromEntries(
    serviceEntries.map(({ name, urlSetting }) => [urlSetting, toOrigin('127.0.0.1', portNextTo(edgePort, name))]),
  )
}

async function freePortWith(offsets: number[]): Promise<number> {
  for (;;) {
    const port = 10_000 + Math.floor(Math.random() * 20_000)
    const reserved = await Promise.all(offsets.map((offset) => reserve(port + offset)))
    if (reserved.every(Boolean)) return port
    for (const reservation of reserved) reservation?.close()
  }
}

/** The distance from a port to the UDP port that reserves it. */
const RESERVATION_OFFSET = 30_000

/**
 * Reserves a port, if it is free, until this process ends. No other test may choose the port before the service under
 * test binds it, or while the service restarts. A UDP socket reserves the port across all processes, and the kernel
 * closes the socket when this process ends.
 */
async function reserve(port: number): Promise<Socket | undefined> {
  const reservation = createSocket('udp4')
  try {
    reservation.bind(port + RESERVATION_OFFSET, '127.0.0.1')
    await once(reservation, 'listening')
    if (await isFree(port)) return reservation.unref()
  } catch {
    // Another test has reserved the port.
  }
  reservation.close()
  return undefined
}
