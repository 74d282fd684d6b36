import { isFree } from '../../scripts/start/free-port.ts'

/**
 * A port that nobody listens on. Below those that the system gives to outgoing connections, so that a process that was
 * killed finds it free when it is started again.
 */
export function freePort(): Promise<number> {
  return freePortWith([0])
}

/** All ports of `npm start -- --port N --consul`, those of NATS and Consul among them, from that of the edge. */
const STARTED = [8_080, 8_081, 8_082, 8_083, 8_084, 8_091, 4_222, 8_500, 8_301, 8_300].map((port) => port - 8_080)

/** The first of ports that `npm start -- --port` takes, where all that move with it are free too. */
export function freePortRange(): Promise<number> {
  return freePortWith(STARTED)
}

async function freePortWith(offsets: number[]): Promise<number> {
  for (;;) {
    const port = 10_000 + Math.floor(Math.random() * 20_000)
    const free = await Promise.all(offsets.map((offset) => isFree(port + offset)))
    if (free.every(Boolean)) return port
  }
}
